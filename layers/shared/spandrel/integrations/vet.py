"""Whether a server may be called, as far as its settings tell. Every address is vetted again when it is dialled."""

from __future__ import annotations

from spandrel.integrations.certificates import require_certificates
from spandrel.integrations.models import OAuthClientCredentials, Target
from spandrel.outbound.addresses import vet


def vet_target(target: Target, *, allow_loopback: bool = False) -> None:
    """Raises `AddressForbiddenError` for a URL of it, `InvalidRequestError` for its private CA."""
    vet(target.url, allow_loopback=allow_loopback)
    if isinstance(target.auth, OAuthClientCredentials) and target.auth.token_url:
        vet(target.auth.token_url, allow_loopback=allow_loopback)
    require_certificates(target.ca_certificate)
