"""Short names of integrations, made from what their owners call them. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from spandrel.ids import uuid7

MAX_LENGTH = 50
_NUMBERED = 20


def base_slug(name: str) -> str:
    """Lower-case ASCII letters, digits and single hyphens: "Café, Büro 2" becomes "cafe-buro-2"."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:MAX_LENGTH].strip("-") or "server"


def candidates(name: str) -> Iterator[str]:
    """The slug itself, then numbered ones, then one that nobody has."""
    base = base_slug(name)
    yield base
    for number in range(2, _NUMBERED):
        yield f"{base[: MAX_LENGTH - 3].rstrip('-')}-{number}"
    yield f"{base[: MAX_LENGTH - 13].rstrip('-')}-{uuid7().hex[-12:]}"
