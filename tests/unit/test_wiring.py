"""What the composition root puts together for AWS; what it makes locally every integration test shows."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from spandrel import wiring
from spandrel.adapters import rds, secrets
from spandrel.errors import DatabaseUnavailableError
from spandrel.settings import SettingsError
from spandrel.wiring import integrations, outbound

ROOTS = (wiring, integrations, outbound)
CACHED = [each for root in ROOTS for each in vars(root).values() if hasattr(each, "cache_clear")]


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    def forget() -> None:
        for each in CACHED:
            each.cache_clear()

    forget()
    yield
    forget()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("SPANDREL_DATABASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for name, value in (
        ("SPANDREL_DATABASE_HOST", "db.example.com"),
        ("SPANDREL_DATABASE_SSL_ROOT_CERT", "roots.pem"),
        ("SPANDREL_DATABASE_ADMIN_SECRET_ARN", "arn:admin"),
        ("SPANDREL_OPENAI_SECRET_ARN", "arn:openai"),
        ("SPANDREL_BUCKET", "documents"),
        ("SPANDREL_DOCUMENT_QUEUE_URL", "https://sqs.example.com/documents"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "hush"),
    ):
        monkeypatch.setenv(name, value)
    values = {"arn:openai": "sk-hush", "arn:admin": json.dumps({"username": "root", "password": "p w'd"})}
    monkeypatch.setattr(secrets, "read_secret", lambda arn, region: values[arn] if region == "eu-central-1" else "")
    return monkeypatch


def test_at_rds_a_role_s_password_is_a_token_over_verified_tls(aws: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def connect(conninfo: str, **options: object) -> None:
        asked.update(options)
        raise psycopg.OperationalError

    aws.setattr("psycopg.connect", connect)
    aws.setattr(rds, "iam_token", lambda settings, user: f"token for {user} at {settings.host}")
    with pytest.raises(DatabaseUnavailableError):
        wiring.database(wiring.APP_ROLE).run(b"SELECT 1")
    assert asked["password"] == "token for spandrel_app at db.example.com"
    assert (asked["user"], asked["host"], asked["dbname"]) == ("spandrel_app", "db.example.com", "spandrel")
    assert (asked["sslmode"], asked["sslrootcert"]) == ("verify-full", "roots.pem")


def test_no_token_is_in_the_error_of_an_unreachable_database(aws: pytest.MonkeyPatch) -> None:
    aws.setenv("SPANDREL_DATABASE_HOST", "127.0.0.1")
    aws.setenv("SPANDREL_DATABASE_PORT", "1")
    with pytest.raises(DatabaseUnavailableError) as caught:
        wiring.database(wiring.APP_ROLE).run(b"SELECT 1")
    assert "X-Amz-Signature" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_the_administrator_s_password_comes_from_his_secret(aws: pytest.MonkeyPatch) -> None:
    found = conninfo_to_dict(wiring.schema_resource().conninfo())
    assert (found["user"], found["password"], found["host"]) == ("root", "p w'd", "db.example.com")
    assert (found["sslmode"], found["sslrootcert"]) == ("verify-full", "roots.pem")


def test_without_the_administrator_s_secret_it_says_what_to_set(aws: pytest.MonkeyPatch) -> None:
    aws.delenv("SPANDREL_DATABASE_ADMIN_SECRET_ARN")
    with pytest.raises(SettingsError, match="SPANDREL_DATABASE_ADMIN_SECRET_ARN"):
        wiring.schema_resource().conninfo()


def test_a_price_table_that_cannot_be_read_ends_a_deployment(aws: pytest.MonkeyPatch) -> None:
    aws.setenv("SPANDREL_PRICES", '{"models": {"a": {"input": "cheap"}}}')
    with pytest.raises(SettingsError, match="SPANDREL_PRICES is no price table"):
        wiring.schema_resource().conninfo()


def test_the_provider_s_key_comes_from_its_secret_unless_it_is_given(aws: pytest.MonkeyPatch) -> None:
    assert wiring.providers._openai_api_key() == "sk-hush"
    aws.setenv("OPENAI_API_KEY", "given")
    wiring.settings.cache_clear()
    assert wiring.providers._openai_api_key() == "given"


@pytest.mark.parametrize("secret", ["sk-hush", "sk-hush\n", '{"api_key": "sk-hush"}'])
def test_the_provider_s_key_may_be_named_in_its_secret(aws: pytest.MonkeyPatch, secret: str) -> None:
    aws.setattr(secrets, "read_secret", lambda arn, region: secret)
    assert wiring.providers._openai_api_key() == "sk-hush"


def test_tokens_that_a_provider_does_not_count_are_counted_by_our_tokeniser() -> None:
    assert wiring.providers._count_tokens("Whales sing.") == 4


def test_a_server_of_one_s_own_may_ask_for_no_key(aws: pytest.MonkeyPatch) -> None:
    aws.delenv("SPANDREL_OPENAI_SECRET_ARN")
    assert wiring.providers._openai_api_key() == "none"


def test_every_use_case_is_made_once_and_opens_nothing(aws: pytest.MonkeyPatch) -> None:
    aws.setattr("psycopg.connect", lambda *_, **__: pytest.fail("a connection was opened"))
    aws.setenv("SPANDREL_KMS_KEY_ID", "alias/spandrel")
    for make in (
        wiring.search,
        wiring.collections,
        wiring.documents,
        wiring.ingest,
        wiring.purge,
        wiring.upkeep,
        wiring.schema_resource,
        wiring.embedder,
        wiring.chat_model,
        wiring.objects,
        wiring.queue,
        wiring.turn_queue,
        wiring.prepare,
        wiring.generate_prompt,
        wiring.begin_session,
        wiring.sessions,
        wiring.turns,
        wiring.checkpoints,
        wiring.conversations,
        wiring.run_turn,
        wiring.session_upkeep,
        wiring.prices,
        wiring.budgets,
        wiring.reports,
        wiring.tickets,
        wiring.connections,
        wiring.actions,
        wiring.history,
        wiring.retention,
        wiring.realtime.farewell,
        wiring.news,
        wiring.pump,
        wiring.repair_feed,
        integrations.saved,
        integrations.checks,
        integrations.discover,
        integrations.tool_review,
        integrations.watch,
        integrations.free_stuck,
        integrations.reconcile,
        integrations.components,
        integrations.health_round,
        integrations.health_details,
    ):
        assert make() is make()


def test_users_requests_and_jobs_have_roles_of_their_own(aws: pytest.MonkeyPatch) -> None:
    aws.setenv("SPANDREL_KMS_KEY_ID", "alias/spandrel")
    app, system = wiring.database("spandrel_app"), wiring.database("spandrel_system")
    assert [wiring.budgets().database, wiring.reports().database] == [app] * 2
    assert [wiring.search().database, wiring.collections().database, wiring.documents().database] == [app] * 3
    assert [wiring.begin_session().database, wiring.sessions().database, wiring.run_turn().database] == [app] * 3
    assert [wiring.tickets().database, wiring.connections().database, wiring.actions().database] == [app] * 3
    assert [wiring.history().database, wiring.retention().database] == [app, system]
    assert wiring.session_upkeep().database is system
    assert [wiring.pump().database, wiring.repair_feed().database] == [system] * 2
    assert [integrations.saved().database, integrations.checks().database] == [app] * 2
    assert integrations.discover().database is app
    assert [integrations.tool_review().database, integrations.health_details().database] == [app] * 2
    assert [integrations.watch().database, integrations.health_round().database] == [system] * 2
    assert [integrations.free_stuck().database, integrations.reconcile().database] == [system] * 2
    assert [wiring.ingest().database, wiring.purge().database, wiring.upkeep().database] == [system] * 3


def test_secrets_are_sealed_by_kms_or_on_one_machine_by_its_key(aws: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError):
        outbound.secret_box()
    wiring.settings.cache_clear()
    aws.setenv("SPANDREL_KMS_KEY_ID", "alias/spandrel")
    assert type(outbound.secret_box()).__name__ == "KmsSecretBox"
    for each in (wiring.settings, outbound.secret_box):
        each.cache_clear()
    aws.delenv("SPANDREL_KMS_KEY_ID")
    aws.setenv("SPANDREL_SECRET_KEY", base64.b64encode(b"k" * 32).decode())
    assert type(outbound.secret_box()).__name__ == "LocalSecretBox"


def test_what_goes_out_shares_its_tokens(aws: pytest.MonkeyPatch) -> None:
    assert outbound.prober() is outbound.caller()
    assert outbound.registry() is outbound.registry()


def test_answers_are_streamed_where_there_is_a_feed(aws: pytest.MonkeyPatch) -> None:
    assert wiring.run_turn().sink is None
    aws.setenv("SPANDREL_CONNECTIONS_URL", "https://abc.execute-api.eu-central-1.amazonaws.com/live")
    for each in CACHED:
        each.cache_clear()
    assert wiring.run_turn().sink is wiring.delta_stream() is not None


def test_a_change_is_told_where_there_is_a_queue(aws: pytest.MonkeyPatch) -> None:
    assert wiring.database("spandrel_app")._heard is None
    aws.setenv("SPANDREL_BROADCAST_QUEUE_URL", "https://sqs.example.com/news")
    for each in CACHED:
        each.cache_clear()
    assert wiring.database("spandrel_app")._heard is not None
