"""BM25 as the books have it, over whole texts: what the database's scores are held to."""

from __future__ import annotations

import math
import random
from collections import Counter

from spandrel.knowledge.terms import K1, REFERENCE_LENGTH, B, analyzer

K3 = 8


def repeated(times: int) -> float:
    """What a term counts that the query says so often."""
    return (K3 + 1) * times / (K3 + times)


def scores(texts: list[str], query: str, language: str = "english") -> list[float]:
    """A score a text (Robertson & Zaragoza 2009, with a fixed reference length)."""
    of = analyzer(language).counts
    counts: list[Counter[int]] = [of(text) for text in texts]
    found = [0.0] * len(texts)
    for term, times in of(query).items():
        n = sum(term in each for each in counts)
        idf = math.log(1 + (len(texts) - n + 0.5) / (n + 0.5)) * repeated(times)
        for place, each in enumerate(counts):
            norm = K1 * (1 - B + B * each.total() / REFERENCE_LENGTH)
            found[place] += idf * each[term] * (K1 + 1) / (each[term] + norm) if term in each else 0.0
    return found


def ceiling(texts: list[str], query: str, language: str = "english") -> float:
    """What no score can exceed: every term of the query, endlessly often."""
    of = analyzer(language).counts
    found = [of(text) for text in texts]
    frequencies = [(sum(term in each for each in found), times) for term, times in of(query).items()]
    return sum((K1 + 1) * math.log(1 + (len(texts) - n + 0.5) / (n + 0.5)) * repeated(m) for n, m in frequencies)


def best(texts: list[str], query: str, count: int, language: str = "english") -> list[float]:
    """The highest scores above zero, best first."""
    return [score for score in sorted(scores(texts, query, language), reverse=True) if score > 0][:count]


class Zipf:
    """Words as language deals them: few are everywhere, most are rare."""

    def __init__(self, seed: int, vocabulary: int = 3000) -> None:
        self._random = random.Random(seed)
        self._words = [f"w{n}x" for n in range(vocabulary)]
        self._weights = [1 / (n + 2) for n in range(vocabulary)]

    def text(self, longest: int = 60) -> str:
        return " ".join(self._random.choices(self._words, self._weights, k=self._random.randint(1, longest)))

    def query(self) -> str:
        """Rare words and common ones together."""
        picked = self._random.choices(self._words, self._weights, k=self._random.randint(1, 5))
        return " ".join(picked + self._random.choices(self._words, k=self._random.randint(0, 3)))
