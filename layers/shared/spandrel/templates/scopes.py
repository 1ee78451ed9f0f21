"""Where a name leads. A program names no variables but slots, whose numbers are found here when a source is saved.

Slot 0 holds the variables, slot 1 what `@` reads; blocks and partials take further ones. What can be known of a slot's
content is known from the input schema, so that a misspelt name is found at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from spandrel.templates.tags import Argument, Literal, Path, TagError

ROOT, SYSTEM = 0, 1
ITEM, KEY, INDEX, FIRST, LAST = range(5)
"""The slots of an `each`, counted from its first."""
SYSTEM_VARIABLES: dict[str, Any] = {
    "type": "object",
    "properties": {
        "date": {"type": "string"},
        "locale": {"type": "string"},
        "user": {
            "type": "object",
            "properties": {"id": {"type": "string"}, "name": {"type": "string"}},
            "additionalProperties": False,
        },
    },
    "additionalProperties": False,
}
_LOOP = {"key": KEY, "index": INDEX, "first": FIRST, "last": LAST}

Schema = dict[str, Any]
Expression = Any
"""What a program holds for an argument: `[slot, *names]`, or a literal as it is."""


@dataclass(frozen=True, slots=True)
class Scope:
    """A context that names are looked up in. `root`: names are variables. `overlay`: what a partial is passed."""

    slot: int
    schema: Schema = field(default_factory=dict)
    root: bool = False
    overlay: Mapping[str, Schema] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """What a tag sees: contexts from the outermost, block parameters, and the loops around it by their first slot."""

    scopes: tuple[Scope, ...]
    params: Mapping[str, tuple[int, Schema]] = field(default_factory=dict)
    loops: tuple[int, ...] = ()

    def inside(self, scope: Scope) -> Place:
        return replace(self, scopes=(*self.scopes, scope))

    def in_loop(self, slot: int) -> Place:
        return replace(self, loops=(*self.loops, slot))

    def with_params(self, params: Mapping[str, tuple[int, Schema]]) -> Place:
        return replace(self, params={**self.params, **params})


class Variables:
    """The declared variables, or else those that a body is found to use, with how it does."""

    def __init__(self, declared: Schema | None) -> None:
        self.declared = declared
        self.uses: dict[str, set[str]] = {}

    def resolve(self, argument: Argument, place: Place, use: str) -> tuple[Expression, Schema]:
        """The program's expression and what is known of its value. `use`: how, as `infer` reads it.

        Raises `TagError`.
        """
        if isinstance(argument, Literal):
            return argument.value, {}
        if argument.data:
            return self._data(argument, place, use)
        if argument.up >= len(place.scopes):
            raise TagError(f'There is nothing above for "{argument.text}" to be in.', "undeclared")
        name, *rest = argument.segments or ("",)
        if not argument.up and not argument.here and name in place.params:
            slot, schema = place.params[name]
            return [slot, *rest], _walk(schema, rest, argument.text)
        scope = place.scopes[-1 - argument.up]
        return [scope.slot, *argument.segments], self._in(scope, argument.segments, argument.text, use)

    def _in(self, scope: Scope, segments: tuple[str, ...], text: str, use: str) -> Schema:
        if not segments:
            return {"type": "object"} if scope.overlay or scope.root else scope.schema
        name, *rest = segments
        if name in scope.overlay:
            return _walk(scope.overlay[name], rest, text)
        if not scope.root:
            return _walk(scope.schema, list(segments), text)
        self.uses.setdefault(name, set()).add(use if not rest else "any" if rest[0].isdecimal() else "object")
        if self.declared is None:
            return {}
        if name not in self.declared["properties"]:
            raise TagError(f'The variable "{name}" is not declared in the input schema.', "undeclared")
        return _walk(self.declared["properties"][name], rest, text)

    def _data(self, path: Path, place: Place, use: str) -> tuple[Expression, Schema]:
        name, *rest = path.segments
        if path.up > len(place.loops):
            raise TagError(f'There is no loop above for "{path.text}".', "unknown_system_variable")
        loops = place.loops[: len(place.loops) - path.up]
        if name in _LOOP and not rest and loops:
            return [loops[-1] + _LOOP[name]], {"type": "string"}
        if name == "root":
            return [ROOT, *rest], self._in(Scope(ROOT, root=True), tuple(rest), path.text, use)
        try:
            return [SYSTEM, *path.segments], _walk(SYSTEM_VARIABLES, list(path.segments), path.text)
        except TagError:
            known = "@date, @locale, @user.id, @user.name, and in loops @index, @key, @first, @last"
            message = f'There is no system variable "{path.text}". There are {known}.'
            raise TagError(message, "unknown_system_variable") from None


def _walk(schema: Schema, segments: list[str], text: str) -> Schema:
    """What is known below `schema`. Raises `TagError` where it is known that nothing is there."""
    for name in segments:
        if "properties" in schema or schema.get("type") == "object":
            known, further = schema.get("properties", {}), schema.get("additionalProperties", {})
            if name not in known and further is False:
                raise TagError(f'"{text}" is not declared: there is no "{name}".', "undeclared")
            schema = known.get(name, further if isinstance(further, dict) else {})
        elif schema.get("type") in ("string", "number", "integer", "boolean"):
            raise TagError(f'"{text}" is not declared: a {schema["type"]} has no "{name}".', "undeclared")
        else:
            schema = items_of(schema) if name.isdecimal() else {}
    return schema


def items_of(schema: Schema) -> Schema:
    """What is known of an item of a list."""
    items = schema.get("items")
    return items if isinstance(items, dict) else {}


def infer(uses: Mapping[str, set[str]], defaults: Mapping[str, Any]) -> Schema:
    """An input schema for a source without one: what is printed is a string, what is looped over a list, and so on.

    What a condition asks for is optional, everything else required.
    """
    properties: dict[str, Schema] = {}
    for name, ways in uses.items():
        kinds = {_INFERRED[way] for way in ways} - {None}
        properties[name] = {"type": kinds.pop()} if len(kinds) == 1 and name not in defaults else {}
    required = [name for name, ways in uses.items() if "test" not in ways]
    return {"type": "object", "properties": properties | {name: {} for name in defaults}, "required": required}


_INFERRED: dict[str, str | None] = {"print": "string", "each": "array", "object": "object", "test": None, "any": None}
