"""One of everything, which is Ada's; the tests that need it make it by whatever means they have."""

from __future__ import annotations

from dataclasses import dataclass

SECRET = "cachalot"
"""A word that stands in all of it."""


@dataclass(frozen=True, kw_only=True)
class Owned:
    """Ids: of a collection of one ready document and one that failed, and of what else she has."""

    collection: str
    document: str
    failed: str
    template: str
    session: str
    conversation: str
    turn: str
    approval: str
    integration: str
