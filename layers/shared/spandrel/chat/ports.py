"""What conversations need from outside. Adapters implement it; tests bring a fake held to the same contract."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Protocol
from uuid import UUID

from spandrel.chat.models import ChatRequest, Completion, TextDelta


class ChatModel(Protocol):
    """A language model. Retries are the caller's, who knows how long it may wait: each error says if one is worth it.

    Raises `ModelConfigError` when called; while the answer is read `ModelUnavailableError`, `ModelRateLimitedError`,
    `ModelRejectedError`, `ContextTooLongError` or `ModelAnswerInvalidError`.
    """

    def stream(self, request: ChatRequest, *, timeout: float) -> Generator[TextDelta | Completion, None, None]:
        """Text as it comes and, last, exactly one `Completion`. Closing the generator cancels the request.

        `timeout`: seconds after which no further piece is waited for; a wait under way then may run out first, so that
        a silent model is given up after twice as long at the latest.
        """
        ...


class ToolCaller(Protocol):
    """Calls a tool of one of the user's integrations. What it returns is text for the model, an error's among it."""

    def call(
        self, user_id: str, integration: str, tool: str, arguments: dict[str, Any], *, key: str, timeout: float
    ) -> str:
        """`key` names this very call: it is the same when the call is made again. `timeout` in seconds."""
        ...


class DeltaSink(Protocol):
    """Where the pieces of an answer go while it is made. They are ephemeral: losing one loses nothing that is kept."""

    def delta(self, turn_id: UUID, attempt: int, index: int, text: str) -> None: ...
