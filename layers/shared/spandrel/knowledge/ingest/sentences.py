"""Where prose may be cut: behind a sentence, or behind a line."""

from __future__ import annotations

import re
from collections.abc import Iterator

_END = re.compile("[.!?\u2026\u3002\uff01\uff1f\n]++[\"'\u201d\u2019\u300d\u300f)\\]]*+\\s*+")
_UNSPACED = frozenset("\u3002\uff01\uff1f")  # full stops of scripts that put no blank behind them
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[.])(?:e\.g|i\.e|etc|vs|cf|al|approx|no|nos|fig|figs|eq|sec|ch|vol|pp?|ed|eds|dr|mr|mrs|ms|prof|st|jr|sr"
    r"|inc|ltd|co|corp|dept|est|bzw|z\.b|d\.h|u\.s|u\.k|[a-z])\.$",
    re.IGNORECASE,
)
_LOOK_BACK = 12


def sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The sentences of `text[start:end]` as spans that leave nothing out; a line end closes a sentence too."""
    position = start
    for mark in _END.finditer(text, start, end):
        cut = mark.end()
        if cut >= end or _continues(text, mark.start(), cut, position):
            continue
        yield position, cut
        position = cut
    if position < end:
        yield position, end


def _continues(text: str, stop: int, after: int, start: int) -> bool:
    """Whether what looks like an end at `stop` is in a number, name or abbreviation, or a small letter follows."""
    if "\n" in text[stop:after] or text[stop] in _UNSPACED:
        return False
    if not text[after - 1].isspace():
        return True
    if text[stop] != ".":
        return False
    return text[after].islower() or bool(_ABBREVIATION.search(text[max(start, stop - _LOOK_BACK) : stop + 1]))


def lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The lines of `text[start:end]` as spans that leave nothing out."""
    position = start
    while position < end:
        newline = text.find("\n", position, end)
        cut = end if newline < 0 else newline + 1
        yield position, cut
        position = cut
