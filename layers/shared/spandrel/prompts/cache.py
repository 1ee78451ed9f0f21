"""Composed prompts of a warm function, kept under what they are made of.

A key holds the template version's hash, the values, the system variables and the epochs of the user's capabilities and
knowledge. An epoch rises in the transaction that changes its subject, so nothing under a key can go stale.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, Literal, TypeVar

import msgspec

from spandrel.prompts.models import CacheReport, Composed

K = TypeVar("K")
V = TypeVar("V")


class Lru(Generic[K, V]):
    """The `size` entries that were used last."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
        return found

    def put(self, key: K, value: V) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)


class PromptKey(msgspec.Struct, frozen=True):
    """What a composition depends on, in the order in which a change of it is reported."""

    version: bytes
    variables: bytes
    system_variables: bytes
    capabilities: int
    knowledge: int  # 0 where the template retrieves nothing


class PromptCache:
    """Composed prompts by user and key, and for each user and template the key that was used last."""

    def __init__(self, size: int = 512) -> None:
        self._composed: Lru[tuple[str, PromptKey], Composed] = Lru(size)
        self._last: Lru[tuple[str, str], PromptKey] = Lru(size)

    def find(self, user_id: str, template: str, key: PromptKey) -> tuple[Composed | None, CacheReport]:
        found = self._composed.get((user_id, key))
        last = self._last.get((user_id, template))
        self._last.put((user_id, template), key)
        if found is not None:
            return found, CacheReport(True, "hit")
        return None, CacheReport(False, "first_use" if last is None else _changed(last, key))

    def put(self, user_id: str, key: PromptKey, composed: Composed) -> None:
        self._composed.put((user_id, key), composed)


Change = Literal["first_use", "version", "variables", "system_variables", "capabilities", "knowledge"]


def _changed(last: PromptKey, key: PromptKey) -> Change:
    """The first part in which the keys differ; equal keys mean that the entry was dropped for want of room."""
    names: tuple[Change, ...] = ("version", "variables", "system_variables", "capabilities", "knowledge")
    assert PromptKey.__struct_fields__ == names
    return next((name for name in names if getattr(last, name) != getattr(key, name)), "first_use")
