"""The provider's faults over real HTTP, as a turn meets them: waited for, or ended with a code; nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from spandrel.adapters.openai_chat import OpenAIChatModel
from spandrel.chat.turn import TurnOutcome
from spandrel.settings import ChatSettings
from tests.support.chat_provider import Answer, Behaviour, ChatProvider, Fault
from tests.support.knowledge import ADA, KnowledgeBase
from tests.support.studio import Studio

SILENCE = 0.3
"""Seconds without a byte after which the model is given up."""


@pytest.fixture
def provider() -> Iterator[ChatProvider]:
    with ChatProvider() as found:
        yield found


@pytest.fixture
def studio(kb: KnowledgeBase, provider: ChatProvider) -> Iterator[Studio]:
    model = OpenAIChatModel(ChatSettings("test-model", provider.url, "none", None, SILENCE, 8000), lambda: "none")
    yield Studio(kb, model)  # type: ignore[arg-type]
    if model._client is not None:
        model._client.close()


PASSING: dict[str, Callable[[], Behaviour]] = {
    "429": lambda: Fault.rate_limited(2),
    "500": Fault.server_error,
    "503": lambda: Fault.server_error(503),
    "hang before the first byte": Fault.hang,
    "hang in the middle": lambda: Fault.hang_after("Good d"),
    "stream cut": lambda: Fault.cut_after("Good d"),
    "garbage in the stream": lambda: Fault.garbage_after("Good d"),
    "an error in the stream": lambda: Fault.error_after("Good d"),
    "a malformed tool call": Fault.malformed_call,
    "a page instead of a stream": Fault.no_stream,
}
LASTING: dict[str, tuple[Callable[[], Behaviour], str]] = {
    "no such key": (Fault.unauthorised, "model_rejected"),
    "quota used up": (Fault.quota, "model_rejected"),
    "context too long": (Fault.context_too_long, "context_too_long"),
    "bad request": (lambda: Fault.refused(400), "model_rejected"),
}
CODES = {
    "429": "model_rate_limited",
    "500": "model_unavailable",
    "503": "model_unavailable",
    "hang before the first byte": "model_unavailable",
    "hang in the middle": "model_unavailable",
}


@pytest.mark.parametrize("name", PASSING)
def test_a_fault_that_passes_is_waited_for(studio: Studio, provider: ChatProvider, name: str) -> None:
    session = studio.begin()
    provider.then(PASSING[name](), Answer("Good day."))
    turn = studio.ask(session.id, "Hello!")
    assert studio.work() == [TurnOutcome.COMPLETED]
    assert studio.turns.get(ADA, turn.id).text == "Good day."
    assert studio.said(session.id) == ["Hello!", "Good day."]
    assert len(provider.requests) == 2


@pytest.mark.parametrize("name", PASSING)
def test_one_that_stays_ends_the_turn_after_three_attempts(studio: Studio, provider: ChatProvider, name: str) -> None:
    session = studio.begin()
    provider.then(*[PASSING[name]() for _ in range(3)])
    turn = studio.ask(session.id, "Hello!")
    assert studio.work() == [TurnOutcome.FAILED]
    failed = studio.turns.get(ADA, turn.id)
    assert failed.error is not None
    assert failed.input == "Hello!"
    assert failed.error.code in (CODES.get(name, "model_answer_invalid"), "model_unavailable")
    assert failed.error.message.endswith(".")
    assert len(provider.requests) == 3
    assert studio.messages(session.id) == []


@pytest.mark.parametrize("name", LASTING)
def test_one_that_no_attempt_mends_ends_it_at_once(studio: Studio, provider: ChatProvider, name: str) -> None:
    behaviour, code = LASTING[name]
    session = studio.begin()
    provider.then(behaviour(), behaviour())
    turn = studio.ask(session.id, "Hello!")
    assert studio.work() == [TurnOutcome.FAILED]
    failed = studio.turns.get(ADA, turn.id)
    assert failed.error is not None
    assert (failed.error.code, failed.input) == (code, "Hello!")
    assert len(provider.requests) == (2 if code == "context_too_long" else 1)
    assert studio.clock.naps == []


def test_what_the_provider_counted_is_charged(studio: Studio, provider: ChatProvider) -> None:
    session = studio.begin()
    provider.then(Answer("Good day.", usage=(1000, 400, 50)), Answer("Again.", usage=None))
    studio.ask(session.id, "Hello!")
    studio.ask(session.id, "Hello again!")
    assert studio.work() == [TurnOutcome.COMPLETED] * 2
    lines: list[dict[str, Any]] = studio.kb.rows(
        "SELECT input_tokens, cached_tokens, output_tokens FROM usage_ledger ORDER BY id"
    )
    assert list(lines[0].values()) == [1000, 400, 50]
    assert lines[1]["output_tokens"] > 0  # counted by us, where the provider does not say
