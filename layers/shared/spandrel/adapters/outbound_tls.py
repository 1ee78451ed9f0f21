"""TLS to foreign servers: one context a set of roots, the chain as evidence, and what a failed handshake means."""

from __future__ import annotations

import hashlib
import ssl
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from spandrel.adapters.outbound_faults import Fault
from spandrel.integrations.models import Certificate, Reason, TlsEvidence

# Where distributions keep their roots, for an OpenSSL that was built to look elsewhere.
_ROOTS = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/cert.pem", "/etc/ssl/cert.pem")
# X509_verify_cert's results, by number: <openssl/x509_vfy.h>.
_NOT_YET_VALID, _EXPIRED = 9, 10
_UNTRUSTED = frozenset({2, 7, 18, 19, 20, 21, 22, 24, 26, 27, 28})
_WRONG_NAME = frozenset({62, 64})


@lru_cache(maxsize=1024)
def context(ca_certificate: str | None = None) -> ssl.SSLContext:
    """Verifies always: by the public roots, or by a private CA alone, which is a hundred times cheaper to make.

    Kept, for the public roots take tens of milliseconds. Raises `Fault` for a CA that is no PEM.
    """
    if ca_certificate is not None:
        try:
            made = ssl.create_default_context(cadata=ca_certificate)
        except (ssl.SSLError, ValueError, TypeError):
            raise Fault(Reason.TLS, "The private CA certificate cannot be read. Give it in PEM form.") from None
    else:
        made = ssl.create_default_context()
        if not made.cert_store_stats()["x509_ca"] and not ssl.get_default_verify_paths().capath:
            for roots in filter(Path.is_file, map(Path, _ROOTS)):
                made.load_verify_locations(cafile=roots)
                break
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    # Python 3.13 asks of certificates what many private CAs leave out; a verdict must not depend on the version.
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return made


def untrusted(error: ssl.SSLError) -> bool:
    """Whether it was for its authority that a certificate was refused."""
    return isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _UNTRUSTED


@lru_cache(maxsize=1)
def blind_context() -> ssl.SSLContext:
    """Verifies nothing: only to read the certificate of a server that was refused. Nothing is ever sent through it."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    return made


def evidence(found: ssl.SSLObject, *, verified: bool = True) -> TlsEvidence | None:
    """The chain that was verified, up to its root, or what the server sent. None if it cannot be read."""
    ders = _chain(found, verified=verified)
    try:
        chain = tuple(certificate(der) for der in ders)
    except ValueError:
        return None
    if not chain:
        return None
    ends = min(each.not_after for each in chain)
    return TlsEvidence(chain, (ends - datetime.now(UTC)).days, found.version())


def _chain(found: ssl.SSLObject, *, verified: bool) -> list[bytes]:
    """Public from Python 3.13 on; before, the same is one object further down."""
    name = "get_verified_chain" if verified else "get_unverified_chain"
    public: Any = getattr(found, name, None)
    if public is not None:
        return [bytes(each) for each in public()]
    inner: Any = getattr(getattr(found, "_sslobj", None), name, None)
    if inner is not None:
        return [ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in inner() or ()]
    leaf = found.getpeercert(binary_form=True)
    return [leaf] if leaf else []


@lru_cache(maxsize=4096)
def certificate(der: bytes) -> Certificate:
    """Raises `ValueError` if it cannot be read."""
    from cryptography import x509

    read = x509.load_der_x509_certificate(der)
    return Certificate(
        subject=read.subject.rfc4514_string()[:500],
        issuer=read.issuer.rfc4514_string()[:500],
        not_before=read.not_valid_before_utc,
        not_after=read.not_valid_after_utc,
        sha256=hashlib.sha256(der).hexdigest(),
    )


def handshake_fault(error: ssl.SSLError, host: str) -> Fault:
    if isinstance(error, ssl.SSLCertVerificationError):
        code = error.verify_code
        if code == _EXPIRED:
            return Fault(Reason.TLS_EXPIRED, "A certificate of the server has expired. Renew it.")
        if code == _NOT_YET_VALID:
            return Fault(Reason.TLS_EXPIRED, "A certificate of the server is not valid yet.")
        if code in _WRONG_NAME:
            return Fault(Reason.TLS_NAME, f"The server's certificate is not for {host}.")
        if code in _UNTRUSTED:
            told = (
                "The server's certificate comes from no authority that is trusted. Give its private CA, if it has one."
            )
            return Fault(Reason.TLS_UNTRUSTED, told)
        return Fault(Reason.TLS, "The server's certificate was refused.")
    return Fault(Reason.TLS, "The TLS handshake failed: the server does not speak TLS here, or no version in common.")
