"""Puts a section's blocks together into chunks of at most `size` tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from spandrel.knowledge.ingest.parse.models import Block
from spandrel.knowledge.ingest.sentences import lines, sentences
from spandrel.knowledge.ingest.tokens import TokenMap, count

_SLACK = 16  # by how much the quick estimate may be off before the exact count is asked


class Unit(NamedTuple):
    """A stretch of text that is kept whole if it can be. `whole` tells a block from the sentences it was cut into."""

    start: int
    end: int
    kind: str
    header: tuple[int, int] | None = None
    whole: bool = True

    def part(self, start: int, end: int) -> Unit:
        """From `start` to `end` of it."""
        return Unit(start, end, self.kind, self.header, False)


def units(blocks: list[Block], start: int, end: int) -> list[Unit]:
    """The blocks as units without gaps from `start` to `end`; a heading goes with what follows it."""
    found: list[Unit] = []
    position = start
    for index, block in enumerate(blocks):
        last = index == len(blocks) - 1
        if block.kind == "heading" and not last:
            continue
        stop = end if last else blocks[index + 1].start
        found.append(Unit(position, stop, block.kind, block.header))
        position = stop
    return found


class Packer:
    """Chunks of one section, `text[start:end]`, which begins and ends with a character that is not blank."""

    def __init__(self, text: str, start: int, end: int, blocks: list[Block], *, size: int, overlap: int) -> None:
        self._text, self._start, self._end = text, start, end
        self._blocks, self._size, self._overlap = blocks, size, overlap
        self._map = TokenMap(text, start, end)
        self._current: list[Unit] = []
        self._fresh = 0  # how many units at the end of `_current` no chunk has yet
        self._pending: list[Unit] = []
        self._headers: dict[tuple[int, int], str] = {}
        self._measured = self._sure = self._perhaps = -1
        self._counted = ((0, 0, ""), 0)

    def pack(self) -> Iterator[tuple[int, int, str, int]]:
        """Start, end, text and token count of each chunk."""
        if self._map.total <= self._size:
            yield self._start, self._end, self._text[self._start : self._end], self._map.total
            return
        self._pending = units(self._blocks, self._start, self._end)[::-1]
        while self._pending or self._fresh:
            if not self._pending:
                yield self._close()
                continue
            unit = self._pending.pop()
            if self._text[unit.start].isspace() and self._text[unit.start : unit.end].isspace():
                continue
            if self._fits(unit):
                self._current.append(unit)
                self._fresh += 1
            elif self._current and not self._fresh and self._map.estimate(unit.start, unit.end) <= self._size:
                self._current.pop(0)  # overlap gives way to new text
                self._pending.append(unit)
            elif self._fresh and self._keeps(unit):
                self._pending.append(unit)
                yield self._close()
            else:
                self._divide(unit)
                if self._fresh and not self._fits(self._pending[-1]):
                    yield self._close()

    # -- does it fit

    def _trimmed(self, start: int, end: int) -> tuple[int, int]:
        while start < end and self._text[start].isspace():
            start += 1
        while start < end and self._text[end - 1].isspace():
            end -= 1
        return start, end

    def _prefix(self, first: Unit) -> str:
        """The table header that a chunk beginning with `first` repeats."""
        if not first.header or first.start <= first.header[0]:
            return ""
        if first.header not in self._headers:
            header = self._text[slice(*first.header)] + "\n"
            self._headers[first.header] = header if 3 * count(header) <= self._size else ""
        return self._headers[first.header]

    def _fits(self, unit: Unit) -> bool:
        first = self._current[0] if self._current else unit
        if first.start != self._measured:
            self._measure(first)
        if unit.end <= self._sure:
            return True
        return unit.end <= self._perhaps and self._exact(first.start, unit.end, self._prefix(first)) <= self._size

    def _measure(self, first: Unit) -> None:
        """Looks up how far a chunk that begins with `first` reaches for sure, and how far at the most."""
        prefix = self._prefix(first)
        room = self._size - (count(prefix) if prefix else 0)
        self._measured = first.start
        self._sure = self._map.offset(first.start, room - _SLACK) if room > _SLACK else first.start
        self._perhaps = self._map.offset(first.start, room + 4 * _SLACK)

    def _exact(self, start: int, end: int, prefix: str) -> int:
        part = (*self._trimmed(start, end), prefix)
        if part != self._counted[0]:  # closing a chunk asks again what filling it asked last
            start, end, _ = part
            tokens = count(prefix + self._text[start:end]) if prefix else self._map.count(start, end)
            self._counted = (part, tokens)
        return self._counted[1]

    def _keeps(self, unit: Unit) -> bool:
        """Whether `unit`, which no longer fits, begins the next chunk instead of being cut to fill this one."""
        if self._map.estimate(unit.start, unit.end) > self._size:
            return False
        atomic = not unit.whole or unit.kind == "table_row"
        return atomic or 2 * self._map.estimate(self._current[0].start, self._current[-1].end) >= self._size

    # -- cutting

    def _parts(self, unit: Unit) -> list[Unit]:
        if not unit.whole:
            return []
        cut = lines if unit.kind in ("code", "table_row") else sentences
        return [Unit(a, b, unit.kind, unit.header, False) for a, b in cut(self._text, unit.start, unit.end)]

    def _divide(self, unit: Unit) -> None:
        """Puts `unit` back in finer parts. Where the first does not fit, nothing of `unit` fits beside what is
        there.
        """
        parts = self._parts(unit)
        if len(parts) > 1:
            self._pending.extend(reversed(parts))
            return
        cut = self._word_cut(unit)
        if cut is None:  # not a word of it fits here
            self._pending.append(unit.part(unit.start, unit.end))
            self._current = self._current if self._fresh else []
            return
        self._pending.append(unit.part(cut, unit.end))
        self._pending.append(unit.part(unit.start, cut))

    def _word_cut(self, unit: Unit) -> int | None:
        """The last place in `unit` where cutting it makes its head fit, between words unless nothing else is there."""
        begin = self._current[0].start if self._current else unit.start
        room = self._size - self._map.estimate(begin, unit.start)
        while room > 0:
            target = min(self._map.offset(unit.start, room), unit.end - 1)
            cut = self._blank_before(unit.start, target)
            if cut is None and not self._current:
                cut = max(target, unit.start + 1)
            if cut is None:
                return None
            if self._fits(unit.part(unit.start, cut)):
                return cut
            room = min(room - 1, room * 7 // 8)
        return None if self._current else unit.start + 1

    def _blank_before(self, start: int, target: int) -> int | None:
        """Behind the last blank in `text[start:target]` that has a word before it."""
        for position in range(target, start, -1):
            if self._text[position - 1].isspace() and not self._text[position].isspace():
                return position if not self._text[start:position].isspace() else None
        return None

    # -- closing

    def _close(self) -> tuple[int, int, str, int]:
        """Ends the chunk, and begins the next one with its overlap."""
        start, end, prefix, tokens = self._measured_chunk()
        while tokens > self._size and len(self._current) > 1:  # the estimate was off
            if len(self._current) > self._fresh:
                self._current.pop(0)
            else:
                self._pending.append(self._current.pop())
                self._fresh -= 1
            start, end, prefix, tokens = self._measured_chunk()
        if tokens > self._size and prefix:
            prefix = ""
            tokens = self._exact(start, end, prefix)
        if tokens > self._size:
            end, tokens = self._shorten(start, end)
        self._current = self._tail(self._current) if self._pending else []
        self._fresh = 0
        return start, end, prefix + self._text[start:end], tokens

    def _measured_chunk(self) -> tuple[int, int, str, int]:
        start, end = self._trimmed(self._current[0].start, self._current[-1].end)
        prefix = self._prefix(self._current[0])
        return start, end, prefix, self._exact(start, end, prefix)

    def _shorten(self, start: int, end: int) -> tuple[int, int]:
        """Cuts the only unit so that it fits after all, and puts the rest back."""
        unit = self._current[0]
        tokens = self._size + 1
        while tokens > self._size and end - start > 1:
            end = start + (end - start) * 7 // 8
            tokens = self._exact(start, end, "")
        self._pending.append(unit.part(end, unit.end))
        self._current = [unit.part(unit.start, end)]
        return self._trimmed(start, end)[1], tokens

    def _tail(self, closed: list[Unit]) -> list[Unit]:
        """The units that the next chunk repeats: whole sentences or lines of at most `overlap` tokens, else words."""
        tail: list[Unit] = []
        left = self._overlap
        for unit in reversed(closed):
            for part in reversed(self._parts(unit) or [unit]):
                tokens = self._map.estimate(part.start, part.end)
                if part.kind == "table_row" or tokens > left:
                    return tail or self._last_words(part)
                tail.insert(0, part.part(part.start, part.end))
                left -= tokens
        return tail[1:]  # never the whole chunk again

    def _last_words(self, unit: Unit) -> list[Unit]:
        if unit.kind in ("table_row", "code") or not self._overlap:
            return []
        tokens = self._map.estimate(unit.start, unit.end)
        target = self._map.offset(unit.start, tokens - self._overlap)
        while target < unit.end and not self._text[target - 1].isspace():
            target += 1
        return [unit.part(target, unit.end)] if target < unit.end else []
