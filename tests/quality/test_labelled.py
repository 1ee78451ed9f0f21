"""The labelled set is sound, and so is the yardstick."""

from __future__ import annotations

from math import log2

import pytest

from tests.quality.labelled import load
from tests.quality.ndcg import mean, ndcg


def test_the_set_is_large_and_consistent() -> None:
    passages, questions = load()
    assert len(passages) >= 60
    assert len(questions) >= 60
    assert len({question.text for question in questions}) == len(questions)
    assert all(question.relevant and question.relevant <= passages.keys() for question in questions)


def test_questions_do_not_quote_passages() -> None:
    passages, questions = load()
    for question in questions:
        for found in question.relevant:
            assert len(question.text.split()) < 5 or question.text.lower().strip("?") not in passages[found].lower()


@pytest.mark.parametrize(
    ("ranking", "relevant", "value"),
    [
        (["a", "b"], {"a"}, 1.0),
        (["b", "a"], {"a"}, 1 / log2(3)),
        (["b"], {"a"}, 0.0),
        ([], {"a"}, 0.0),
        (["a", "x", "b"], {"a", "b"}, (1 + 1 / log2(4)) / (1 + 1 / log2(3))),
        ([*"0123456789", "a"], {"a"}, 0.0),
    ],
)
def test_ndcg(ranking: list[str], relevant: set[str], value: float) -> None:
    assert ndcg(ranking, relevant) == pytest.approx(value)


def test_more_relevant_than_places_can_still_be_perfect() -> None:
    assert ndcg(["a", "b"], {"a", "b", "c"}, depth=2) == 1.0


def test_what_cannot_be_judged() -> None:
    with pytest.raises(ValueError, match="at least one"):
        ndcg(["a"], set())
    with pytest.raises(ValueError, match="twice"):
        ndcg(["a", "a"], {"a"})
    with pytest.raises(ValueError, match="no values"):
        mean([])
    assert mean([1, 0]) == 0.5
