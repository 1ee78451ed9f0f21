"""What conversations need from outside. Adapters implement it; tests bring a fake held to the same contract."""

from __future__ import annotations

from collections.abc import Generator, Sequence
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
    """Where the pieces of an answer go while it is made. They are ephemeral: losing one loses nothing that is kept, and
    nothing that goes wrong with them is told to the turn, nor does the turn wait for them.
    """

    def audience(self, turn_id: UUID, attempt: int, connection_ids: Sequence[str]) -> None:
        """Who listens at this moment. Whoever is new is sent the text so far first."""
        ...

    def delta(self, turn_id: UUID, attempt: int, index: int, text: str) -> None:
        """The next piece, the `index`th of this attempt at the turn."""
        ...

    def restart(self, turn_id: UUID, attempt: int, text: str) -> None:
        """What was said after `text` is taken back: the model is asked again."""
        ...

    def end(self, turn_id: UUID) -> None:
        """Nothing follows."""
        ...
