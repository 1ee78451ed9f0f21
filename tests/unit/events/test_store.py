from __future__ import annotations

from spandrel.events.store import TypeFilter


def test_patterns_are_names_or_beginnings() -> None:
    found = TypeFilter.of(["document.ready", "turn.*", "tool.added"])
    assert (found.exact, found.prefixes) == (["document.ready", "tool.added"], ["turn."])
