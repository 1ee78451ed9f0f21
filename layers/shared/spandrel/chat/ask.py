"""One model call of a turn: streamed, and made again where the provider's fault is worth it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from spandrel.chat.models import ChatRequest, Completion, TextDelta
from spandrel.chat.ports import ChatModel
from spandrel.chat.progress import Progress
from spandrel.errors import ModelAnswerInvalidError, ModelError, ModelUnavailableError
from spandrel.observability import count, logger
from spandrel.usage.models import ModelCall, Purpose
from spandrel.usage.prices import PriceTable

ATTEMPTS = 3
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 20.0
MARGIN_SECONDS = 10.0
"""What is left of an invocation for writing the turn's end."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """The time that the worker has. `remaining` in seconds."""

    remaining: Callable[[], float]
    sleep: Callable[[float], None] = time.sleep

    @property
    def left(self) -> float:
        return self.remaining() - MARGIN_SECONDS


@dataclass(frozen=True, slots=True)
class Asker:
    """Every finished call is noted in `calls`, whatever becomes of the turn: it is to be paid for."""

    model: ChatModel
    prices: PriceTable
    invocation: Invocation
    calls: list[ModelCall]

    def ask(self, request: ChatRequest, progress: Progress | None, purpose: Purpose = "turn") -> Completion:
        """Raises `ModelError` after three attempts, or as soon as another is not worth it."""
        before = progress.text if progress else ""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                completion = self._stream(request, progress)
                break
            except ModelError as error:
                wait = error.retry_after or FIRST_WAIT_SECONDS * 2**attempt
                wait = min(wait, LONGEST_WAIT_SECONDS)
                worth_it = error.retryable and attempt < ATTEMPTS and wait < self.invocation.left
                logger.warning("model call failed", extra={"code": error.code, "attempt": attempt, "again": worth_it})
                count(f"Model.{error.code}")
                if not worth_it:
                    raise
                if progress:
                    progress.restart(before)
                self.invocation.sleep(wait)
        self.calls.append(self.prices.call(purpose, completion.model, completion.usage))
        return completion

    def _stream(self, request: ChatRequest, progress: Progress | None) -> Completion:
        if self.invocation.left <= 0:
            raise ModelUnavailableError("The turn's time is used up. Retry it, or ask for less.")
        with closing(self.model.stream(request, timeout=self.invocation.left)) as stream:
            for event in stream:
                if isinstance(event, Completion):
                    return event
                if isinstance(event, TextDelta) and progress:
                    progress.piece(event.text)
        raise ModelAnswerInvalidError
