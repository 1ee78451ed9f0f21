"""Text to weighted terms: the document side of BM25, and the terms of a query.

A chunk's weight of a term is `tf·(k1+1) / (tf + k1·(1-b+b·length/reference))` (Robertson & Zaragoza 2009), with a fixed
reference length instead of the moving average, so that no stored row goes stale; the query side brings idf. Terms
are hashed to 2^20 slots (feature hashing, Weinberger et al. 2009), the dimensions of pgvector's `sparsevec`.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import chain

from spandrel.knowledge.stopwords import LANGUAGES, stop_words
from spandrel.knowledge.words import words_of
from spandrel.vectors import SparseVector

DIMENSIONS = 1 << 20
K1 = 1.2
B = 0.75
REFERENCE_LENGTH = 120.0
"""Terms, stop words aside, of a chunk that is neither long nor short."""
MAX_WORD = 64

_STOP = -1


class _Terms(dict[bytes, int]):
    """UTF-8 words met so far, with their terms: each is stemmed and hashed once, and the look-up of the others is
    C's.
    """

    def __init__(self, stop: frozenset[str], stem: Callable[[str], str]) -> None:
        super().__init__(dict.fromkeys((word.encode() for word in stop), _STOP))
        self._stem = stem

    def __missing__(self, word: bytes) -> int:
        term = self[word] = zlib.crc32(self._stem(word.decode()[:MAX_WORD]).encode()) & (DIMENSIONS - 1)
        return term


class Analyzer:
    """Words of one language to hashed terms."""

    _CACHE_WORDS = 200_000

    def __init__(self, language: str) -> None:
        import Stemmer

        self._stop = stop_words(language)
        self._stem: Callable[[str], str] = Stemmer.Stemmer(language, 0).stemWord if language != "simple" else str
        self._terms = _Terms(self._stop, self._stem)

    def counts(self, text: str) -> Counter[int]:
        """How often each hashed term occurs in `text`, stop words left out; in order of first occurrence."""
        found = Counter(self._each(words_of(text)))
        found.pop(_STOP, None)
        return found

    def term(self, word: bytes) -> int:
        """The hashed term of `word`, which is as `words_of` gives it; -1 for a stop word."""
        [term] = self._each([word])
        return term

    def _each(self, words: list[bytes]) -> Iterator[int]:
        if len(self._terms) > self._CACHE_WORDS:
            self._terms = _Terms(self._stop, self._stem)
        return map(self._terms.__getitem__, words)


@lru_cache(maxsize=len(LANGUAGES))
def analyzer(language: str) -> Analyzer:
    return Analyzer(language)


def weigh(counts: Counter[int]) -> SparseVector:
    """One chunk's term counts as the document side of BM25."""
    norm = K1 * (1 - B + B * counts.total() / REFERENCE_LENGTH)
    terms = sorted(counts)
    occurrences = list(map(counts.__getitem__, terms))
    # Few distinct counts occur, so each weight is worked out once.
    saturated = {count: count * (K1 + 1) / (count + norm) for count in set(occurrences)}
    return SparseVector.from_items(DIMENSIONS, terms, list(map(saturated.__getitem__, occurrences)))


def query_terms(text: str) -> list[int]:
    """A query word for word: its term in each of `LANGUAGES`, -1 for a stop word. Which languages the collections have
    is for the database to know.
    """
    return list(chain.from_iterable(map(_in_every_language, words_of(text))))


@lru_cache(maxsize=20_000)
def _in_every_language(word: bytes) -> tuple[int, ...]:
    return tuple(analyzer(language).term(word) for language in LANGUAGES)
