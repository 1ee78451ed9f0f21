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
from collections.abc import Iterator
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

# A run of one script's letters or digits; CJK has no spaces, so its runs are cut into pairs.
_WORD = re.compile(r"[぀-ヿ㐀-䶿一-鿿가-힯]+|[^\W_]+")
_CJK = re.compile(r"[぀-ヿ㐀-䶿一-鿿가-힯]")


class Analyzer:
    """Words of one language to hashed terms. Words repeat, so each is stemmed and hashed once."""

    _CACHE_WORDS = 200_000

    def __init__(self, language: str) -> None:
        import Stemmer

        self._stop = stop_words(language)
        self._stem = Stemmer.Stemmer(language, 0).stemWord if language != "simple" else str
        self._seen: dict[str, int] = {}

    def terms(self, text: str) -> list[int]:
        """The hashed terms of `text` in order, repeats included, stop words left out."""
        if len(self._seen) > self._CACHE_WORDS:
            self._seen.clear()
        seen, found = self._seen, []
        for word in _words(text):
            term = seen.get(word)
            if term is None:
                term = seen[word] = self._term(word)
            if term >= 0:
                found.append(term)
        return found

    def _term(self, word: str) -> int:
        if word in self._stop:
            return -1
        return zlib.crc32(self._stem(word).encode()) & (DIMENSIONS - 1)


def _words(text: str) -> Iterator[str]:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        if _CJK.search(text):
            for word in _WORD.findall(text.lower()):
                if _CJK.match(word) and len(word) > 1:
                    yield from (word[i : i + 2] for i in range(len(word) - 1))
                else:
                    yield word[:MAX_WORD]
            return
    for word in _WORD.findall(text.lower()):
        yield word if len(word) <= MAX_WORD else word[:MAX_WORD]


@lru_cache(maxsize=len(LANGUAGES))
def analyzer(language: str) -> Analyzer:
    return Analyzer(language)


def weigh(terms: list[int]) -> SparseVector:
    """One chunk's terms as the document side of BM25."""
    counts = Counter(terms)
    norm = K1 * (1 - B + B * len(terms) / REFERENCE_LENGTH)
    ordered = sorted(counts.items())
    weights = [count * (K1 + 1) / (count + norm) for _, count in ordered]
    return SparseVector.from_items(DIMENSIONS, [term for term, _ in ordered], weights)


@dataclass(frozen=True, slots=True)
class QueryTerms:
    """A query's terms in every language, side by side: the database knows which languages the collections have."""

    terms: list[int]
    languages: list[str]


def query_terms(text: str) -> QueryTerms:
    terms: list[int] = []
    languages: list[str] = []
    for language in LANGUAGES:
        found = dict.fromkeys(analyzer(language).terms(text))
        terms += found
        languages += [language] * len(found)
    return QueryTerms(terms, languages)
