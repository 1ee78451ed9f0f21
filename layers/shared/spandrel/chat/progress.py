"""A turn's answer while it is made: pieces go out as they come, and the text so far is saved about once a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from spandrel.chat.ports import DeltaSink
from spandrel.chat.store import Saved, TurnStore
from spandrel.chat.work import NewMessage

SAVE_SECONDS = 1.0


class TurnLostError(Exception):
    """The turn is no longer this worker's: whatever it still has to say is dropped."""


class TurnCancelledError(Exception):
    """Its user asked for the turn to stop."""


@dataclass(slots=True)
class Progress:
    """`text` is what the user sees of the turn so far; a model call that is made again begins it anew."""

    store: TurnStore
    attempt: int
    sink: DeltaSink | None = None
    clock: Callable[[], float] = time.monotonic
    text: str = ""
    _index: int = 0
    _saved: float = field(default=0.0)

    def __post_init__(self) -> None:
        self._saved = self.clock()

    def piece(self, text: str) -> None:
        """Raises `TurnLostError`, `TurnCancelledError`."""
        self.text += text
        if self.sink is not None:
            self.sink.delta(self.store.task.turn_id, self.attempt, self._index, text)
        self._index += 1
        if self.clock() - self._saved >= SAVE_SECONDS:
            self.save()

    def restart(self, text: str) -> None:
        """Takes back what was said after `text`. Raises as `piece` does."""
        self.text = text
        if self.sink is not None:
            self.sink.restart(self.store.task.turn_id, self.attempt, text)
        self.save()

    def audience(self, connection_ids: Sequence[str]) -> None:
        if self.sink is not None:
            self.sink.audience(self.store.task.turn_id, self.attempt, connection_ids)

    def end(self) -> None:
        if self.sink is not None:
            self.sink.end(self.store.task.turn_id)

    def save(self) -> None:
        """Keeps the text and the lease. Raises as `piece` does."""
        self._note(self.store.save(self.text))

    def keep(self, said: list[NewMessage]) -> None:
        """Keeps what is not to be said again, too. Raises as `piece` does."""
        self._note(self.store.keep(said, self.text))

    def _note(self, saved: Saved | None) -> None:
        self._saved = self.clock()
        if saved is None:
            raise TurnLostError
        self.audience(saved.connections)
        if saved.cancel_requested:
            raise TurnCancelledError
