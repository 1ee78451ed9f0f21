"""What can go wrong while the stack is set up, as one sentence that says what to do."""

from __future__ import annotations

from pathlib import Path


class LocalError(Exception):
    """The message says what is wrong and what to do; `log` is where the details are."""

    def __init__(self, message: str, log: Path | None = None) -> None:
        super().__init__(message)
        self.message, self.log = message, log

    def __str__(self) -> str:
        return f"{self.message} (log: {self.log})" if self.log else self.message
