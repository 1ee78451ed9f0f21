"""Integrations as their owner keeps them, on real Postgres: saved, changed, reviewed, checked on request."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from spandrel.errors import (
    AddressForbiddenError,
    ConflictError,
    IntegrationDisabledError,
    InvalidRequestError,
    NameTakenError,
    NotFoundError,
    SecretsUnavailableError,
    ToolChangedError,
    TooManyIntegrationsError,
    TooOftenError,
)
from spandrel.idempotency.key import IdempotencyKey
from spandrel.ids import uuid7
from spandrel.integrations import discover as discovering
from spandrel.integrations.models import BearerAuth, HeaderAuth, NoAuth, OAuthClientCredentials, Reason, Target
from spandrel.integrations.records import Changes, NewIntegration
from tests.support.hub import DOWN, GOOD, READ, URL, WRITE, Hub
from tests.support.knowledge import ADA, BOB
from tests.support.mcp_fakes import failing, healthy
from tests.support.postgres import until_waiting

SECRET = "hush-hush-hush"


# -- saving


def test_what_is_saved_is_what_was_said_and_nothing_is_known_of_it_yet(hub: Hub) -> None:
    made = hub.add("Café 2", capabilities={"read_events": ["calendar.read"]}, check_interval_seconds=120)
    assert (made.slug, made.name, made.url, made.status, made.enabled) == ("cafe-2", "Café 2", URL, "unknown", True)
    assert (made.auth.type, made.auth.secret_set_at, made.check_interval_seconds) == ("none", None, 120)
    assert hub.get(made) == made
    assert hub.told() == ["integration.created"]


@pytest.mark.parametrize(
    ("auth", "shown"),
    [
        (BearerAuth(SECRET), {"type": "bearer"}),
        (HeaderAuth("X-Key", SECRET), {"type": "header", "header_name": "X-Key"}),
        (OAuthClientCredentials("me", SECRET, scope="a b"), {"client_id": "me", "scope": "a b"}),
    ],
)
def test_a_secret_goes_in_and_nothing_shows_it(hub: Hub, auth: Any, shown: dict[str, Any]) -> None:
    made = hub.add(auth=auth)
    assert made.auth.secret_set_at is not None
    assert {name: getattr(made.auth, name) for name in shown} == shown
    tables = ("integrations", "events", "idempotency_keys", "integration_checks")
    hub.round()
    for table in tables:
        assert SECRET not in str(hub.kb.rows(f"SELECT t::text FROM {table} t"))
    assert hub.prober.probed[-1].auth == auth


def test_slugs_are_made_unique_and_given_ones_are_not_changed(hub: Hub) -> None:
    assert [hub.add("Work").slug for _ in range(3)] == ["work", "work-2", "work-3"]
    assert hub.add("Work", slug="mine").slug == "mine"
    with pytest.raises(NameTakenError):
        hub.add("Work", slug="mine")
    assert hub.add("Work", user=BOB).slug == "work"


def test_many_at_once_get_slugs_of_their_own(hub: Hub) -> None:
    databases = [hub.kb.connect("spandrel_app") for _ in range(6)]

    def create(database: Any) -> str:
        return replace(hub.saved, database=database).create(ADA, NewIntegration("Work", URL)).slug

    with ThreadPoolExecutor(6) as pool:
        slugs = list(pool.map(create, databases))
    for database in databases:
        database.close()
    assert len(set(slugs)) == 6


def test_there_is_a_limit(hub: Hub) -> None:
    saved = replace(hub.saved, most=2)
    for _ in range(2):
        saved.create(ADA, NewIntegration("Work", URL))
    with pytest.raises(TooManyIntegrationsError):
        saved.create(ADA, NewIntegration("Work", URL))
    saved.create(BOB, NewIntegration("Work", URL))


@pytest.mark.parametrize(
    "more",
    [
        {"url": "http://example.com"},
        {"url": "https://127.0.0.1/mcp"},
        {"auth": OAuthClientCredentials("me", SECRET, "https://169.254.169.254/token")},
    ],
)
def test_an_address_that_may_not_be_called_is_not_kept(hub: Hub, more: dict[str, Any]) -> None:
    with pytest.raises(AddressForbiddenError):
        hub.add(**more)
    made = hub.add()
    with pytest.raises(AddressForbiddenError):
        hub.saved.change(ADA, made.id, Changes(**more))
    with pytest.raises(AddressForbiddenError):
        hub.discover.server(ADA, Target(**({"url": URL} | more)))
    assert hub.prober.probed == []


def test_a_private_ca_must_be_one(hub: Hub) -> None:
    with pytest.raises(InvalidRequestError):
        hub.add(ca_certificate="-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----")


def test_what_cannot_be_sealed_is_not_saved(hub: Hub) -> None:
    hub.box.failure = SecretsUnavailableError()
    with pytest.raises(SecretsUnavailableError):
        hub.add(auth=BearerAuth(SECRET))
    assert hub.kb.rows("SELECT * FROM integrations") == []
    hub.add()


def test_a_repeated_request_makes_it_once(hub: Hub) -> None:
    key = IdempotencyKey.of(ADA, "k", "create_integration", {})
    made = [hub.saved.create(ADA, NewIntegration("Work", URL), key).id for _ in range(2)]
    assert made[0] == made[1]
    assert hub.told() == ["integration.created"]


def test_pages_go_through_all_and_filter(hub: Hub) -> None:
    made = [hub.add(str(number)) for number in range(5)]
    hub.checks.run(ADA, made[0].id)
    hub.saved.disable(ADA, made[1].id)
    first = hub.saved.page(ADA, 3, None)
    rest = hub.saved.page(ADA, 3, first.next_cursor)
    assert [each.id for each in (*first.items, *rest.items)] == [each.id for each in reversed(made)]
    assert rest.next_cursor is None
    assert [each.id for each in hub.saved.page(ADA, 5, None, ["healthy"]).items] == [made[0].id]
    assert [each.id for each in hub.saved.page(ADA, 5, None, None, False).items] == [made[1].id]


# -- changing


def test_a_new_name_leaves_what_was_found_out(hub: Hub) -> None:
    made = hub.add()
    hub.round()
    changed = hub.saved.change(ADA, made.id, Changes(name="Home", check_interval_seconds=300))
    assert (changed.name, changed.slug, changed.status, changed.check_interval_seconds) == (
        "Home",
        "work",
        "healthy",
        300,
    )
    assert hub.told()[-1] == "integration.updated"


@pytest.mark.parametrize(
    "changes",
    [
        Changes(url="https://mcp.example.com/other"),
        Changes(transport="sse"),
        Changes(auth=BearerAuth(SECRET)),
        Changes(auth=NoAuth()),
        Changes(ca_certificate=""),
    ],
)
def test_what_may_lead_elsewhere_makes_it_unknown_and_a_check_due(hub: Hub, changes: Changes) -> None:
    made = hub.add(auth=BearerAuth("before"))
    hub.round()
    changed = hub.saved.change(ADA, made.id, changes)
    assert (changed.status, changed.reason, changed.failures) == ("unknown", None, 0)
    assert hub.seconds_until_due(made) <= 0
    [data] = hub.kb.rows("SELECT data FROM events WHERE type = 'integration.updated'")
    assert data["data"]["status"] == "unknown"
    assert (changed.auth.secret_set_at is None) == (changes.auth == NoAuth())


def test_a_secret_is_not_sent_to_another_server_by_a_change_of_the_address(hub: Hub) -> None:
    made = hub.add(auth=BearerAuth(SECRET))
    for url in ("https://thief.example.org/mcp", "https://mcp.example.com:8443/mcp"):
        with pytest.raises(InvalidRequestError, match="auth"):
            hub.saved.change(ADA, made.id, Changes(url=url))
    changed = hub.saved.change(ADA, made.id, Changes(url="https://example.org", auth=BearerAuth("other")))
    assert changed.url == "https://example.org"
    open_ = hub.add("Open")
    assert hub.saved.change(ADA, open_.id, Changes(url="https://example.org")).url == "https://example.org"


def test_nor_by_one_that_was_asked_for_before_the_secret_was_there(hub: Hub) -> None:
    made = hub.add(auth=BearerAuth(SECRET))
    sealed = hub.row(made.id)
    hub.saved.change(ADA, made.id, Changes(auth=NoAuth()))
    with ThreadPoolExecutor() as pool, psycopg.connect(hub.kb.url) as other:
        other.execute(
            "UPDATE integrations SET auth = %s, secret = %s, secret_set_at = now() WHERE id = %s",
            [Jsonb(sealed["auth"]), sealed["secret"], made.id],
        )
        change = pool.submit(hub.saved.change, ADA, made.id, Changes(url="https://thief.example.org/mcp"))
        until_waiting(hub.kb.url)
        other.commit()
        with pytest.raises(InvalidRequestError, match="auth"):
            change.result()
    assert hub.get(made).url == made.url


def test_it_is_switched_off_and_on(hub: Hub) -> None:
    made = hub.add()
    hub.round()
    off = hub.saved.disable(ADA, made.id)
    assert (off.enabled, off.next_check_at, off.status) == (False, None, "healthy")
    hub.saved.disable(ADA, made.id)
    assert hub.round().checked == 0
    with pytest.raises(IntegrationDisabledError):
        hub.checks.run(ADA, made.id)
    on = hub.saved.enable(ADA, made.id)
    assert (on.enabled, on.status) == (True, "unknown")
    hub.saved.enable(ADA, made.id)
    assert hub.told()[-2:] == ["integration.disabled", "integration.enabled"]
    hub.round()
    assert hub.get(made).status == "healthy"


def test_maintenance_is_told_when_it_begins_and_ends(hub: Hub) -> None:
    made, now = hub.add(), datetime.now(UTC)
    hub.round()
    hub.told()
    inside = hub.saved.maintain(ADA, made.id, now - timedelta(minutes=1), now + timedelta(hours=1))
    assert inside.maintenance is not None
    assert hub.told() == ["integration.maintenance_started"]
    for _ in range(4):
        hub.round(DOWN)
    assert (hub.get(made).status, hub.get(made).failures) == ("healthy", 4)
    assert hub.saved.end_maintenance(ADA, made.id).maintenance is None
    hub.saved.end_maintenance(ADA, made.id)
    assert hub.told() == ["integration.maintenance_ended"]
    hub.round(DOWN)
    assert hub.get(made).status == "unreachable"


def test_maintenance_makes_no_check_due_of_what_is_switched_off(hub: Hub) -> None:
    made = hub.add()
    hub.saved.disable(ADA, made.id)
    now = datetime.now(UTC)
    assert hub.saved.maintain(ADA, made.id, now, now + timedelta(hours=1)).next_check_at is None


def test_maintenance_to_come_begins_by_itself(hub: Hub) -> None:
    made, now = hub.add(), datetime.now(UTC)
    hub.round()
    hub.told()
    hub.saved.maintain(ADA, made.id, now + timedelta(hours=1), now + timedelta(hours=2))
    assert hub.told() == ["integration.updated"]
    hub.kb.rows("UPDATE integrations SET maintenance_from = now() - interval '1 minute'")
    hub.round(GOOD)
    hub.kb.rows("UPDATE integrations SET maintenance_until = now() - interval '1 second'")
    hub.round(GOOD)
    assert hub.told() == ["integration.maintenance_started", "integration.maintenance_ended"]
    hub.saved.maintain(ADA, made.id, now + timedelta(hours=1), now + timedelta(hours=2))
    hub.saved.end_maintenance(ADA, made.id)
    assert hub.told() == ["integration.updated"] * 2


@pytest.mark.parametrize(("begins", "ends"), [(1, 1), (2, 1), (0, 31 * 24), (-3, -2)])
def test_a_window_must_be_one(hub: Hub, begins: int, ends: int) -> None:
    made, now = hub.add(), datetime.now(UTC)
    with pytest.raises(InvalidRequestError):
        hub.saved.maintain(ADA, made.id, now + timedelta(hours=begins), now + timedelta(hours=ends))


def test_deleting_leaves_nothing(hub: Hub) -> None:
    made = hub.add(auth=BearerAuth(SECRET))
    hub.round()
    hub.saved.delete(ADA, made.id)
    for table in ("integrations", "integration_tools", "integration_checks"):
        assert hub.kb.rows(f"SELECT * FROM {table}") == []
    assert hub.told()[-1] == "integration.deleted"
    with pytest.raises(NotFoundError):
        hub.saved.delete(ADA, made.id)


# -- checks on request


def test_a_check_on_request_decides_at_once_and_is_evidence(hub: Hub) -> None:
    made = hub.add()
    check = hub.checks.run(ADA, made.id)
    assert (check.reason, check.status, check.asked, check.evidence["tools"]) == (None, "healthy", True, 1)
    assert check.evidence["timings_ms"]["total"] == 2.3
    found = hub.get(made)
    assert (found.status, found.server and found.server.name) == ("healthy", "fake")
    hub.prober.then(URL, DOWN)
    assert hub.checks.run(ADA, made.id).reason == "refused"
    assert (hub.get(made).status, hub.get(made).detail) == ("unreachable", "Nobody listens there.")
    assert hub.told() == [
        "integration.created", "integration.status_changed", "tool.added", "integration.status_changed",
    ]  # fmt: skip
    page = hub.checks.page(ADA, made.id, 1, None)
    assert [each.reason for each in page.items] == ["refused"]
    assert [each.reason for each in hub.checks.page(ADA, made.id, 1, page.next_cursor).items] == [None]


def test_checks_on_request_have_a_gap(hub: Hub) -> None:
    made, checks = hub.add(), replace(hub.checks, gap=10)
    checks.run(ADA, made.id)
    with pytest.raises(TooOftenError) as caught:
        checks.run(ADA, made.id)
    assert caught.value.members["retry_after"] == 10
    hub.kb.rows("UPDATE integrations SET asked_at = now() - interval '11 seconds'")
    checks.run(ADA, made.id)


def test_a_check_during_which_it_was_changed_is_not_written(hub: Hub) -> None:
    made = hub.add()
    hub.prober.during = lambda _: hub.saved.change(ADA, made.id, Changes(url="https://mcp.example.com/other")) and None
    with pytest.raises(ConflictError):
        hub.checks.run(ADA, made.id)
    assert hub.kb.rows("SELECT * FROM integration_checks") == []
    assert hub.get(made).status == "unknown"


def test_a_check_that_another_overtook_is_judged_after_it(hub: Hub) -> None:
    made = hub.add()
    other = replace(hub.checks, database=hub.kb.connect("spandrel_app"))
    once = deque([True])

    def overtake(_: Target) -> None:
        if once:
            once.pop()
            other.run(ADA, made.id)

    hub.prober.during = overtake
    hub.checks.run(ADA, made.id)
    other.database.close()
    assert len(hub.kb.rows("SELECT * FROM integration_checks")) == 2
    assert hub.told().count("integration.status_changed") == 1


def test_a_secret_that_does_not_open_is_a_finding(hub: Hub) -> None:
    made = hub.add(auth=BearerAuth(SECRET))
    hub.kb.rows("UPDATE integrations SET secret = 'spoilt'")
    check = hub.checks.run(ADA, made.id)
    assert (check.reason, check.status) == ("secret_unreadable", "auth_required")
    assert hub.prober.probed == []


# -- tools


def test_a_changed_tool_is_held_until_its_owner_approves_it(hub: Hub) -> None:
    made = hub.add(capabilities={"read_events": ["calendar.read"]})
    hub.round(healthy(READ, WRITE))
    assert {name: each.status for name, each in hub.tools(made).items()} == dict.fromkeys(hub.tools(made), "active")
    hub.round(healthy(replace(READ, description="Sends the calendar away."), WRITE))
    held = hub.tools(made)["read_events"]
    assert (held.status, held.description, held.capabilities) == ("held", "Sends the calendar away.", ["calendar.read"])
    assert held.approved is not None
    assert held.approved.description == "Reads the calendar."
    [row] = hub.kb.rows(
        "SELECT set_config('spandrel.user_id', 'ada', false), matching_tools('{calendar.read}') AS tools"
    )
    assert [each["status"] for each in row["tools"]] == ["held"]

    rejected = hub.review.review(ADA, made.id, "read_events", "reject", held.schema_hash)
    assert (rejected.status, rejected.rejected) == ("held", True)
    approved = hub.review.review(ADA, made.id, "read_events", "approve", held.schema_hash)
    assert (approved.status, approved.rejected, approved.approved) == ("active", False, None)
    hub.told()
    hub.round(healthy(replace(READ, description="Sends the calendar away."), WRITE))
    assert hub.told() == []
    assert hub.tools(made)["read_events"].status == "active"


def test_nothing_is_approved_that_nobody_saw(hub: Hub) -> None:
    made = hub.add()
    hub.round(healthy(READ))
    hub.round(healthy(replace(READ, description="one")))
    seen = hub.tools(made)["read_events"].schema_hash
    hub.round(healthy(replace(READ, description="two")))
    with pytest.raises(ToolChangedError):
        hub.review.review(ADA, made.id, "read_events", "approve", seen)
    with pytest.raises(NotFoundError):
        hub.review.review(ADA, made.id, "nothing", "approve", seen)
    assert hub.tools(made)["read_events"].status == "held"


def test_what_a_tool_serves_can_be_set(hub: Hub) -> None:
    made = hub.add()
    hub.round()
    hub.told()
    changed = hub.review.change(ADA, made.id, "read_events", capabilities=["b", "a", "b"])
    assert changed.capabilities == ["a", "b"]
    assert hub.told() == ["tool.updated"]
    hub.round()
    assert hub.tools(made)["read_events"].capabilities == ["a", "b"]
    with pytest.raises(NotFoundError):
        hub.review.change(ADA, made.id, "nothing", capabilities=[])


def test_pages_of_tools_go_by_name(hub: Hub) -> None:
    made = hub.add()
    names = ["a/b", "b", "é", "z"]
    hub.round(healthy(*[replace(READ, name=name) for name in names]))
    first = hub.review.page(ADA, made.id, 3, None)
    rest = hub.review.page(ADA, made.id, 3, first.next_cursor)
    found = [each.name for each in (*first.items, *rest.items)]
    assert sorted(found) == sorted(names)
    assert rest.next_cursor is None
    hub.round(healthy())
    assert [each.status for each in hub.review.page(ADA, made.id, 9, None, ["removed"]).items] == ["removed"] * 4
    assert hub.review.page(ADA, made.id, 9, None, ["active"]).items == []
    for cursor in ("____", "a", "AA"):
        with pytest.raises(InvalidRequestError):
            hub.review.page(ADA, made.id, 3, cursor)


# -- before it is saved


def test_a_discovery_says_what_is_there_and_keeps_nothing(hub: Hub) -> None:
    hub.prober.then(URL, healthy(READ, server_name="Calendar\0"), failing(Reason.TLS_EXPIRED))
    found = hub.discover.server(ADA, Target(URL, auth=BearerAuth(SECRET)))
    assert (found.reason, found.status, found.era, found.server_name) == (None, "healthy", "modern", "Calendar\ufffd")
    assert [each.name for each in found.tools] == ["read_events"]
    found = hub.discover.server(ADA, Target(URL))
    assert (found.reason, found.status, found.tools) == ("tls_expired", "unreachable", [])
    assert hub.kb.rows("SELECT * FROM integrations") == []


def test_discoveries_and_searches_are_counted_by_user_and_minute(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovering, "DISCOVERIES_A_MINUTE", 2)
    monkeypatch.setattr(discovering, "SEARCHES_A_MINUTE", 1)
    for _ in range(2):
        hub.discover.server(ADA, Target(URL))
        hub.kb.rows("UPDATE allowances SET minute = date_trunc('minute', now())")
    with pytest.raises(TooOftenError):
        hub.discover.server(ADA, Target(URL))
    hub.discover.server(BOB, Target(URL))
    assert hub.discover.search(ADA, "calendar", 10, None).servers[0].name == "com.example/calendar"
    with pytest.raises(TooOftenError):
        hub.discover.search(ADA, "calendar", 10, None)
    hub.kb.rows("UPDATE allowances SET minute = minute - interval '1 minute'")
    hub.discover.server(ADA, Target(URL))


def test_what_is_not_there_is_not_found(hub: Hub) -> None:
    nothing = uuid7()
    for ask in (
        lambda: hub.saved.get(ADA, nothing),
        lambda: hub.saved.enable(ADA, nothing),
        lambda: hub.saved.change(ADA, nothing, Changes(name="x")),
        lambda: hub.checks.run(ADA, nothing),
        lambda: hub.checks.page(ADA, nothing, 1, None),
        lambda: hub.review.page(ADA, nothing, 1, None),
    ):
        with pytest.raises(NotFoundError):
            ask()
