from __future__ import annotations

import ssl
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from spandrel.adapters import outbound_tls
from tests.support.certificates import DAY, issue

ROOT = issue("Whale Root", authority=True)
LEAF = issue("whales", ("whales.example",), by=ROOT, ends=10 * DAY)
DERS = [each.certificate.public_bytes(Encoding.DER) for each in (LEAF, ROOT)]


class Handshake:
    """What is read of an `ssl.SSLObject`."""

    def __init__(self, **more: Any) -> None:
        self.__dict__ |= more

    def version(self) -> str:
        return "TLSv1.3"

    def getpeercert(self, binary_form: bool) -> bytes | None:
        return self.__dict__.get("leaf")


def kept(der: bytes) -> Any:
    """A certificate as the inner object of Python 3.11 and 3.12 gives it."""
    return SimpleNamespace(public_bytes=lambda: ssl.DER_cert_to_PEM_cert(der))


@pytest.mark.parametrize(
    ("handshake", "length"),
    [
        (Handshake(get_verified_chain=lambda: DERS), 2),
        (Handshake(_sslobj=SimpleNamespace(get_verified_chain=lambda: [kept(each) for each in DERS])), 2),
        (Handshake(leaf=DERS[0]), 1),
    ],
    ids=["3.13", "3.11", "neither"],
)
def test_the_chain_is_read_from_whatever_python_gives(handshake: Any, length: int) -> None:
    found = outbound_tls.evidence(handshake)
    assert found is not None
    assert (len(found.chain), found.chain[0].subject, found.days_left, found.version) == (
        length, "CN=whales", 9, "TLSv1.3",
    )  # fmt: skip
    assert found.chain[0].issuer == "CN=Whale Root"


@pytest.mark.parametrize(
    "handshake", [Handshake(), Handshake(leaf=b"whale"), Handshake(_sslobj=SimpleNamespace(get_verified_chain=list))]
)
def test_a_chain_that_cannot_be_read_is_no_evidence(handshake: Any) -> None:
    assert outbound_tls.evidence(handshake) is None


def test_roots_are_found_where_openssl_does_not_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_text(ROOT.pem)
    monkeypatch.setattr(ssl, "create_default_context", lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: SimpleNamespace(capath=None))
    monkeypatch.setattr(outbound_tls, "_ROOTS", (str(tmp_path / "none"), str(roots)))
    made = outbound_tls.context.__wrapped__()
    assert made.cert_store_stats()["x509_ca"] == 1
    assert made.verify_mode is ssl.CERT_REQUIRED
    assert made.check_hostname


def test_one_context_a_set_of_roots() -> None:
    assert outbound_tls.context() is outbound_tls.context()
    assert outbound_tls.context(ROOT.pem) is not outbound_tls.context()
