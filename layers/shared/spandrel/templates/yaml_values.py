"""Reads a front matter's YAML into plain values, each with the place where it stands.

What JSON cannot hold is refused, and so are aliases, tags and deep nesting: neither a small text that grows large nor a
type of somebody's own. Plain words are read as YAML 1.2 reads them: `no` is a word, not a boolean.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

MOST_CHARACTERS = 64_000
DEEPEST = 20
_NULL = ("", "~", "null", "Null", "NULL")
_BOOLEANS = {word: word[0] in "tT" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")

Where = tuple[str | int, ...]
"""The keys and positions that lead to a value."""
Report = Callable[[int, str, str], None]


class Tree:
    """`value` with the offset of each of its parts; None if it cannot be read."""

    def __init__(self) -> None:
        self.value: Any = None
        self.offsets: dict[Where, int] = {(): 0}

    def offset(self, where: Where) -> int:
        """Of the nearest that has one."""
        while where not in self.offsets:
            where = where[:-1]
        return self.offsets[where]


class _TooMuchError(Exception):
    """What is refused whatever follows it, with the sentence that says why."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset


def read_yaml(text: str, report: Report) -> Tree:
    """`report` takes offset, code and message of what is wrong. PyYAML is loaded when it is needed."""
    import yaml

    tree = Tree()
    if len(text) > MOST_CHARACTERS:
        report(0, "too_large", f"The front matter may have {MOST_CHARACTERS:,} characters.")
        return tree
    try:
        tree.value = _Builder(tree, yaml.parse(text, Loader=yaml.SafeLoader), report).document()
    except _TooMuchError as error:
        report(error.offset, "yaml", str(error))
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the latter for escapes of no character
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        offset = mark.index if mark else getattr(error, "position", 0)
        report(
            offset, "yaml", f"The front matter is not valid YAML: {getattr(error, 'problem', None) or 'bad character'}."
        )
    return tree


class _Builder:
    def __init__(self, tree: Tree, events: Iterator[Any], report: Report) -> None:
        self._tree, self._events, self._report = tree, events, report

    def document(self) -> Any:
        value = None
        for event in self._events:
            kind = type(event).__name__
            if kind == "DocumentStartEvent":
                if value is not None:
                    raise _TooMuchError(event.start_mark.index, "The front matter is one YAML document.")
                value = self._node(next(self._events), ())
        return value

    def _node(self, event: Any, where: Where) -> Any:
        offset = event.start_mark.index
        kind = type(event).__name__
        if kind == "AliasEvent" or event.anchor is not None:
            raise _TooMuchError(offset, "Anchors and aliases are not allowed.")
        if event.tag is not None:
            raise _TooMuchError(offset, "Tags are not allowed.")
        if len(where) > DEEPEST:
            raise _TooMuchError(offset, f"The front matter may be nested {DEEPEST} deep.")
        self._tree.offsets.setdefault(where, offset)
        if kind == "ScalarEvent":
            return self._scalar(event.value, offset) if event.implicit[0] else self._text(event.value, offset)
        return self._mapping(where) if kind == "MappingStartEvent" else self._sequence(where)

    def _mapping(self, where: Where) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while type(event := next(self._events)).__name__ != "MappingEndEvent":
            offset = event.start_mark.index
            key = self._node(event, (*where, ""))
            self._tree.offsets.pop((*where, ""), None)
            if not isinstance(key, str):
                self._report(offset, "yaml", "Keys are texts; put others in quotes.")
                key = str(key)
            if key in found:
                self._report(offset, "yaml", f'"{key}" is given twice.')
            self._tree.offsets[(*where, key)] = offset
            found[key] = self._node(next(self._events), (*where, key))
        return found

    def _sequence(self, where: Where) -> list[Any]:
        found: list[Any] = []
        while type(event := next(self._events)).__name__ != "SequenceEndEvent":
            found.append(self._node(event, (*where, len(found))))
        return found

    def _text(self, value: str, offset: int) -> str:
        if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in value):
            self._report(offset, "characters", "NUL and lone surrogates are not allowed.")
            return ""
        return value

    def _scalar(self, value: str, offset: int) -> Any:
        if value in _NULL:
            return None
        if value in _BOOLEANS:
            return _BOOLEANS[value]
        if _INTEGER.fullmatch(value) and len(value) <= 18:
            return int(value)
        if _FLOAT.fullmatch(value):
            number = float(value)
            if not math.isfinite(number) or _INTEGER.fullmatch(value):
                self._report(offset, "yaml", "This number is too large; put it in quotes if it is a text.")
                return 0
            return number
        return self._text(value, offset)
