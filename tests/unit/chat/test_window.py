"""What of the history fits."""

from __future__ import annotations

from hypothesis import given, strategies as st

from spandrel.chat.window import FRAME_TOKENS, fit, transcript
from spandrel.chat.work import PastMessage


def line(*tokens: int) -> list[PastMessage]:
    """Exchanges of a user's message and an answer."""
    return [
        PastMessage(n, "user" if n % 2 else "assistant", f"m{n}", None, None, count)
        for n, count in enumerate(tokens, 1)
    ]


def test_everything_is_kept_where_it_fits() -> None:
    history = line(10, 10, 10, 10)
    fitted = fit(history, 4 * (10 + FRAME_TOKENS))
    assert (fitted.dropped, fitted.kept) == ([], history)


def test_the_oldest_exchanges_are_dropped_whole() -> None:
    history = line(10, 10, 10, 10)
    fitted = fit(history, 4 * (10 + FRAME_TOKENS) - 1)
    assert [message.ordinal for message in fitted.kept] == [3, 4]
    assert [message.ordinal for message in fitted.dropped] == [1, 2]


def test_an_exchange_that_does_not_fit_alone_is_dropped() -> None:
    assert fit(line(10, 1000), 500).kept == []


@given(st.lists(st.integers(0, 500), max_size=40), st.integers(0, 3000))
def test_the_window_is_an_end_of_the_history_that_fits_and_begins_with_a_user(counts: list[int], budget: int) -> None:
    history = line(*counts)
    fitted = fit(history, budget)
    assert fitted.dropped + fitted.kept == history
    assert sum(message.token_count + FRAME_TOKENS for message in fitted.kept) <= budget
    if fitted.kept:
        assert fitted.kept[0].role == "user"


def test_a_transcript_begins_with_the_summary_before() -> None:
    text = transcript(line(1, 1), "They met.")
    assert text == "Summary of what came before:\nThey met.\n\nuser: m1\n\nassistant: m2"
