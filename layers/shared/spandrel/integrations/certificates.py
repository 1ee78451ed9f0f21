"""Certificates of private authorities, as users give them."""

from __future__ import annotations

import ssl

from spandrel.errors import InvalidRequestError


def require_certificates(pem: str | None) -> None:
    """None or "": there is none. Raises `InvalidRequestError` for what is no PEM of certificates."""
    if not pem:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError):
        raise InvalidRequestError("`ca_certificate` must be one or more certificates in PEM form.") from None
