"""Text to weighted terms: the document side of BM25, and the terms of a query.

A chunk's weight of a term is `tf·(k1+1) / (tf + k1·(1-b+b·length/reference))` (Robertson & Zaragoza 2009), with a fixed
reference length instead of the moving average, so that no stored row goes stale; the query side brings idf. Terms
are hashed to 2^20 slots (feature hashing, Weinberger et al. 2009), the dimensions of pgvector's `sparsevec`.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from spandrel.knowledge.stopwords import LANGUAGES, stop_words
from spandrel.vectors import SparseVector

DIMENSIONS = 1 << 20
K1 = 1.2
B = 0.75
REFERENCE_LENGTH = 120.0
"""Terms, stop words aside, of a chunk that is neither long nor short."""
MAX_WORD = 64

# ASCII text to lower-case words and blanks, in one pass over its bytes.
_ASCII_WORDS = bytes(ord(chr(code).lower()) if code < 128 and chr(code).isalnum() else 0x20 for code in range(256))
# A run of one script's letters or digits; CJK has no spaces, so its runs are cut into pairs, and begin within what is
# written as one word with another script too. The marks of iteration and zero stand apart from the other ideographs.
_UNSPACED = r"\u3005-\u3007぀-ヿ㐀-䶿一-鿿가-힯"
_WORD = re.compile(rf"[{_UNSPACED}]+|[^\W_{_UNSPACED}]+")
_CJK = re.compile(rf"[{_UNSPACED}]")
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
        found = Counter(self._each(_words(text)))
        found.pop(_STOP, None)
        return found

    def among(self, words: list[bytes]) -> list[int]:
        """The hashed terms of `words`, which are UTF-8 and in lower case, stop words left out."""
        return [term for term in self._each(words) if term != _STOP]

    def _each(self, words: list[bytes]) -> Iterator[int]:
        if len(self._terms) > self._CACHE_WORDS:
            self._terms = _Terms(self._stop, self._stem)
        return map(self._terms.__getitem__, words)


def _words(text: str) -> list[bytes]:
    if text.isascii():
        return text.encode().translate(_ASCII_WORDS).split()
    words: list[str] = _WORD.findall(unicodedata.normalize("NFKC", text).lower())
    if _CJK.search(text):
        words = [piece for word in words for piece in (_pairs(word) if _CJK.match(word) else (word,))]
    return [word.encode("utf-8", "replace") for word in words]


def _pairs(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(len(run) - 1)] or [run]


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


@dataclass(frozen=True, slots=True)
class QueryTerms:
    """A query's terms in every language, side by side, each as often as it is said: the database knows which languages
    the collections have.
    """

    terms: list[int]
    languages: list[str]


def query_terms(text: str) -> QueryTerms:
    words = _words(text)
    terms: list[int] = []
    languages: list[str] = []
    for language in LANGUAGES:
        found = analyzer(language).among(words)
        terms += found
        languages += [language] * len(found)
    return QueryTerms(terms, languages)
