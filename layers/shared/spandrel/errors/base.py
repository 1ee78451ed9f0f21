"""What all errors share: a stable code, an HTTP status, and a docstring that is the message."""

from __future__ import annotations

from typing import Any, ClassVar


class SpandrelError(Exception):
    """Something went wrong on our side. Try again; if it persists, look the request id up in the logs."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500

    def __init__(self, detail: str | None = None, **members: Any) -> None:
        super().__init__(detail or self.title())
        self.detail = detail or self.title()
        self.members = members

    @classmethod
    def title(cls) -> str:
        """The docstring's first paragraph on one line. Python keeps its indentation until 3.12, and drops it since."""
        return " ".join((cls.__doc__ or cls.__name__).strip().split("\n\n")[0].split())
