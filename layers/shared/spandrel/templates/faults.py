"""Collects what is wrong in a source, each with its line and column."""

from __future__ import annotations

import re
from bisect import bisect_right

import msgspec

from spandrel.errors import TemplateInvalidError
from spandrel.templates.models import Fault

MOST = 100
_LINE_BREAK = re.compile(r"\r\n|\r|\n")


class Faults:
    def __init__(self, source: str) -> None:
        self._starts = [0, *(found.end() for found in _LINE_BREAK.finditer(source))]
        self._found: dict[tuple[int, str, str], None] = {}  # a set that keeps its order

    def add(self, offset: int, code: str, message: str) -> None:
        """`offset`: of the character in the source. The same fault at the same place is told once."""
        self._found[offset, code, message] = None

    def listed(self) -> list[Fault]:
        """In the order of the source, `MOST` at most."""
        return [self._located(*fault) for fault in sorted(self._found, key=lambda fault: fault[0])[:MOST]]

    def _located(self, offset: int, code: str, message: str) -> Fault:
        line = bisect_right(self._starts, offset)
        return Fault(line, offset - self._starts[line - 1] + 1, code, message)

    def throw(self) -> None:
        """Raises `TemplateInvalidError` if there is a fault."""
        if not self._found:
            return
        faults = self.listed()
        first = f"Line {faults[0].line}: {faults[0].message}"
        more = f" There are {len(self._found) - 1} more faults." if len(self._found) > 1 else ""
        raise TemplateInvalidError(first + more, errors=[msgspec.to_builtins(fault) for fault in faults])
