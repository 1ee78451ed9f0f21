"""Holds a value to a variable's JSON Schema. The hot path: small, and with next to nothing to import.

It checks what `input_schema` lets pass; a property of a value is held to one schema at most, so that the work is in
proportion to the value.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import msgspec

Schema = dict[str, Any]
_REMARKS = frozenset(("type", "description", "title", "default", "examples", "format", "deprecated", "$comment"))
_PATTERN_SECONDS = 0.2


class Misfit(msgspec.Struct, frozen=True):
    """`where`: within the value, empty for itself. `reason`: goes on after the value's name."""

    code: str
    where: str
    reason: str


def fits_plainly(value: Any, schema: Schema) -> bool:
    """Whether a schema says no more than a type, and the value is of it: what most variables are, at no cost."""
    return schema.keys() <= _REMARKS and ("type" not in schema or _is_of(value, schema["type"]))


class Conform:
    """Of one request: all its patterns together have a fifth of a second."""

    def __init__(self) -> None:
        self._left = _PATTERN_SECONDS

    def misfits(self, value: Any, schema: Schema, where: str = "") -> Iterator[Misfit]:
        """What is wrong with `value`: everything, each at its place."""
        wanted = schema.get("type")
        if wanted is not None and not _is_of(value, wanted):
            yield Misfit("type", where, f"must be {_said(wanted)}, not {_kind(value)}")
            return
        if schema.keys() <= _REMARKS:
            return
        if "enum" in schema and not any(_same(value, each) for each in schema["enum"]):
            shown = ", ".join(repr(each) for each in schema["enum"][:10] if each is not None)
            yield Misfit("enum", where, f"must be one of {shown}")
        if "const" in schema and not _same(value, schema["const"]):
            yield Misfit("enum", where, f"must be {schema['const']!r}")
        if isinstance(value, str):
            yield from self._string(value, schema, where)
        elif isinstance(value, list):
            yield from self._list(value, schema, where)
        elif isinstance(value, dict):
            yield from self._object(value, schema, where)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield from _number(value, schema, where)

    def _string(self, value: str, schema: Schema, where: str) -> Iterator[Misfit]:
        yield from _count(len(value), schema, "Length", "characters", where)
        if "pattern" in schema and not self._matches(schema["pattern"], value):
            yield Misfit("pattern", where, f"must match {schema['pattern']}")

    def _matches(self, pattern: str, value: str) -> bool:
        # A pattern is somebody's input as well, and may take for ever on the wrong value: `re` could not be stopped.
        import regex

        begun = time.perf_counter()
        try:
            return regex.search(pattern, value, timeout=self._left, concurrent=False) is not None
        except TimeoutError:
            return False
        finally:
            self._left = max(self._left - (time.perf_counter() - begun), 1e-6)

    def _list(self, value: list[Any], schema: Schema, where: str) -> Iterator[Misfit]:
        yield from _count(len(value), schema, "Items", "items", where)
        if schema.get("uniqueItems") and not _unique(value):
            yield Misfit("range", where, "must not have an item twice")
        items = schema.get("items")
        if items:
            for index, item in enumerate(value):
                yield from self.misfits(item, items, f"{where}[{index}]")

    def _object(self, value: dict[str, Any], schema: Schema, where: str) -> Iterator[Misfit]:
        known, further = schema.get("properties", {}), schema.get("additionalProperties", True)
        for name in schema.get("required", ()):
            if name not in value:
                yield Misfit("missing", f"{where}.{name}", "is missing")
        for name, part in value.items():
            if name in known:
                yield from self.misfits(part, known[name], f"{where}.{name}")
            elif further is False:
                yield Misfit("unknown", f"{where}.{name}", "is not declared")
            elif isinstance(further, dict):
                yield from self.misfits(part, further, f"{where}.{name}")


def _number(value: float, schema: Schema, where: str) -> Iterator[Misfit]:
    for key, fits, told in (
        ("minimum", lambda limit: value >= limit, "at least"),
        ("maximum", lambda limit: value <= limit, "at most"),
        ("exclusiveMinimum", lambda limit: value > limit, "more than"),
        ("exclusiveMaximum", lambda limit: value < limit, "less than"),
        ("multipleOf", lambda limit: _divides(limit, value), "a multiple of"),
    ):
        if key in schema and not fits(schema[key]):
            yield Misfit("range", where, f"must be {told} {schema[key]}")


def _divides(part: float, value: float) -> bool:
    if isinstance(part, int) and isinstance(value, int):
        return value % part == 0
    quotient = value / part
    return math.isfinite(quotient) and math.isclose(quotient, round(quotient), rel_tol=1e-9, abs_tol=1e-9)


def _count(count: int, schema: Schema, what: str, said: str, where: str) -> Iterator[Misfit]:
    if count < schema.get(f"min{what}", 0):
        yield Misfit("range", where, f"must have at least {schema[f'min{what}']} {said}")
    if count > schema.get(f"max{what}", count):
        yield Misfit("range", where, f"may have at most {schema[f'max{what}']} {said}")


def _unique(value: list[Any]) -> bool:
    return len({msgspec.json.encode(item, order="deterministic") for item in value}) == len(value)


def _same(left: Any, right: Any) -> bool:
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def _is_of(value: Any, wanted: str | list[str]) -> bool:
    if isinstance(wanted, list):
        return any(_is_of(value, each) for each in wanted)
    if wanted == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if wanted == "integer":
        return (isinstance(value, int) and not isinstance(value, bool)) or (
            isinstance(value, float) and value.is_integer()
        )
    return isinstance(value, _CLASSES[wanted])


_CLASSES: dict[str, type] = {"string": str, "boolean": bool, "null": type(None), "array": list, "object": dict}
_SAID = {
    "string": "a string", "boolean": "true or false", "null": "null", "number": "a number", "integer": "a whole number",
    "array": "a list", "object": "an object",
}  # fmt: skip


def _said(wanted: str | list[str]) -> str:
    return " or ".join(_SAID[each] for each in (wanted if isinstance(wanted, list) else [wanted]))


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "a boolean"
    return next((_SAID[name] for name, kind in _CLASSES.items() if isinstance(value, kind)), "a number")
