"""Credentials are taken apart, sealed for one row, and put together again."""

from __future__ import annotations

from uuid import UUID

import pytest

from spandrel.errors import SecretUnreadableError
from spandrel.ids import uuid7
from spandrel.integrations import credentials
from spandrel.integrations.credentials import Credentials
from spandrel.integrations.models import Auth, BearerAuth, HeaderAuth, NoAuth, OAuthClientCredentials, Target
from tests.support.mcp_fakes import FakeSecretBox

SECRET = "hush-hush"
ALL: list[Auth] = [
    BearerAuth(SECRET),
    HeaderAuth("X-Key", SECRET),
    OAuthClientCredentials("me", SECRET),
    OAuthClientCredentials("me", SECRET, "https://example.com/token", "read"),
]


@pytest.fixture
def found() -> Credentials:
    return Credentials(FakeSecretBox())


@pytest.mark.parametrize("auth", ALL)
def test_what_is_kept_in_the_open_holds_no_secret_and_both_together_are_all_of_it(
    found: Credentials, auth: Auth
) -> None:
    id_ = uuid7()
    summary, sealed = credentials.summary(auth), found.seal("ada", id_, auth)
    assert SECRET not in str(summary)
    assert found.open("ada", id_, summary, sealed) == auth


def test_without_credentials_nothing_is_sealed(found: Credentials) -> None:
    assert credentials.summary(NoAuth()) == {"type": "none"}
    assert found.seal("ada", uuid7(), NoAuth()) is None
    assert found.open("ada", uuid7(), {"type": "none"}, None) == NoAuth()
    assert credentials.joined({"type": "none"}, b"") == NoAuth()


@pytest.mark.parametrize(("user", "same"), [("bob", True), ("ada", False)])
def test_in_another_s_row_it_does_not_open(found: Credentials, user: str, same: bool) -> None:
    id_ = uuid7()
    sealed = found.seal("ada", id_, BearerAuth(SECRET))
    assert found.open("ada", id_, {"type": "bearer"}, sealed) == BearerAuth(SECRET)
    with pytest.raises(SecretUnreadableError):
        found.open(user, id_ if same else uuid7(), {"type": "bearer"}, sealed)


def test_what_does_not_fit_together_is_unreadable(found: Credentials) -> None:
    id_: UUID = uuid7()
    sealed = found.seal("ada", id_, BearerAuth(SECRET))
    with pytest.raises(SecretUnreadableError):
        found.open("ada", id_, {"type": "header"}, sealed)
    with pytest.raises(SecretUnreadableError):
        found.open(
            "ada",
            id_,
            {"type": "bearer"},
            FakeSecretBox().seal(b"\xff", {"user_id": "ada", "integration_id": str(id_)}),
        )


def test_a_box_is_opened_once_for_many_checks(found: Credentials, monkeypatch: pytest.MonkeyPatch) -> None:
    id_ = uuid7()
    sealed = found.seal("ada", id_, BearerAuth(SECRET))
    found.open("ada", id_, {"type": "bearer"}, sealed)
    monkeypatch.setattr(found.box, "open", lambda *_: pytest.fail("opened again"))
    assert found.open("ada", id_, {"type": "bearer"}, sealed) == BearerAuth(SECRET)


def test_only_so_many_are_remembered(found: Credentials, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "_KEPT_OPEN", 3)
    for _ in range(10):
        id_ = uuid7()
        found.open("ada", id_, {"type": "bearer"}, found.seal("ada", id_, BearerAuth(SECRET)))
    assert len(found._open) <= 3


@pytest.mark.parametrize("auth", ALL)
def test_no_repr_shows_it(found: Credentials, auth: Auth) -> None:
    id_ = uuid7()
    found.open("ada", id_, credentials.summary(auth), found.seal("ada", id_, auth))
    assert SECRET not in f"{found!r} {Target('https://example.com', auth=auth)!r}"
