from __future__ import annotations

import asyncio

import pytest

from spandrel.adapters import background
from spandrel.adapters.mcp_verdict import not_negotiated, redact, secrets, told
from spandrel.adapters.oauth import resource_metadata
from spandrel.adapters.outbound_faults import Exchange, Journal
from spandrel.adapters.outbound_tls import certificate, handshake_fault
from spandrel.integrations.models import BearerAuth, HeaderAuth, NoAuth, OAuthClientCredentials, Reason


def test_what_a_server_says_is_cut_and_on_one_line() -> None:
    assert told("No.", None) == "No."
    assert told("No.", "a\nb\x1b[31m  c") == "No. It said: a b [31m c"
    assert len(told("No.", "w" * 10_000)) < 400


@pytest.mark.parametrize(
    ("auth", "found"),
    [
        (NoAuth(), ()),
        (BearerAuth("token"), ("token",)),
        (HeaderAuth("authorization", "Token abcd"), ("Token abcd", "Token", "abcd")),
        (OAuthClientCredentials("id", "secret"), ("secret",)),
    ],
)
def test_secrets_are_taken_out_of_what_it_says(auth: object, found: tuple[str, ...]) -> None:
    assert secrets(auth) == found  # type: ignore[arg-type]
    for secret in found:
        assert secret not in redact(f"<{secret}>", auth)  # type: ignore[arg-type]


def test_short_values_would_make_holes_in_words() -> None:
    assert redact("a whale", HeaderAuth("x", "a")) == "a whale"


def test_a_server_of_which_nothing_was_seen() -> None:
    assert not_negotiated(Journal(), None).reason is Reason.CONNECTION


def test_a_503_may_say_when_to_come_back() -> None:
    found = not_negotiated(Journal(exchange=Exchange(503, "text/html", 9.0)), None)
    assert (found.reason, found.retry_after) == (Reason.SERVER_ERROR, 9.0)


@pytest.mark.parametrize(
    ("challenge", "found"),
    [
        ('Bearer resource_metadata="https://a.example/x"', "https://a.example/x"),
        ("Bearer error=invalid, resource_metadata=https://a.example/x, x=1", "https://a.example/x"),
        ("Bearer", None),
        ("", None),
    ],
)
def test_where_a_challenge_says_that_metadata_is(challenge: str, found: str | None) -> None:
    assert resource_metadata(challenge) == found


def test_a_certificate_refused_for_another_cause() -> None:
    import ssl

    error = ssl.SSLCertVerificationError()
    error.verify_code = 23  # revoked
    assert handshake_fault(error, "a.example").reason is Reason.TLS
    with pytest.raises(ValueError, match="parsing"):
        certificate(b"whale")


def test_work_in_the_background_gives_back_what_it_has() -> None:
    async def seven() -> int:
        await asyncio.sleep(0)
        return 7

    async def fails() -> int:
        raise ValueError("whale")

    assert background.run(seven()) == 7
    with pytest.raises(ValueError, match="whale"):
        background.run(fails())
