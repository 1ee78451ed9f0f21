"""How good a ranking is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from math import log2


def ndcg(ranking: Sequence[str], relevant: Collection[str], *, depth: int = 10) -> float:
    """Normalised discounted cumulative gain of the first `depth` ids of `ranking`, 0 to 1; every relevant id weighs 1.

    Raises `ValueError` where nothing is relevant, and where the ranking names an id twice.
    """
    if not relevant:
        raise ValueError("a question needs at least one relevant passage")
    if len(set(ranking)) < len(ranking):
        raise ValueError("the ranking names an id twice")
    gain = sum(1 / log2(place + 2) for place, found in enumerate(ranking[:depth]) if found in relevant)
    best = sum(1 / log2(place + 2) for place in range(min(depth, len(relevant))))
    return gain / best


def mean(values: Iterable[float]) -> float:
    """The arithmetic mean. Raises `ValueError` for no values."""
    numbers = list(values)
    if not numbers:
        raise ValueError("no values")
    return sum(numbers) / len(numbers)
