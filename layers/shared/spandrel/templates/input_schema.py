"""`input.schema`, in Picoschema or JSON Schema, as the JSON Schema that values are held to.

https://google.github.io/dotprompt/reference/picoschema . Of JSON Schema, what `conform` checks is taken and nothing
else: a keyword that would be ignored is a fault.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from spandrel.templates.yaml_values import Where

Schema = dict[str, Any]
Report = Callable[[Where, str, str], None]

MOST_SCHEMAS = 500
MOST_CHOICES = 200
MOST_PATTERN = 200
SCALARS = ("string", "boolean", "null", "number", "integer", "any")
TYPES = ("string", "boolean", "null", "number", "integer", "array", "object")
_KEY = re.compile(r"([^()?]+)(\?)?(?:\((.*)\))?", re.DOTALL)
_COUNTS = ("minItems", "maxItems", "minLength", "maxLength")
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_REMARKS = ("title", "description", "default", "examples", "format", "deprecated", "$schema", "$comment")


class InputSchema:
    """`report` takes where in the front matter, code and message of what is wrong."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._schemas = 0

    def read(self, value: Any, where: Where) -> Schema | None:
        """The schema of an object whose properties are the variables; None if there is none to be had."""
        if not isinstance(value, dict):
            return self._fault(where, "The input schema is a mapping of variables, in Picoschema or JSON Schema.")
        json_schema = value.get("type") in TYPES or isinstance(value.get("properties"), dict)
        schema = self._json({"type": "object"} | value, where) if json_schema else self._pico(value, where)
        if schema is None or schema.get("type") != "object":
            return self._fault(where, "The input schema is one of an object: its properties are the variables.")
        if schema.get("additionalProperties", False) is not False:
            self._fault(where, "All variables are named: the input schema takes no others.")
        return {"properties": {}} | schema

    def _fault(self, where: Where, message: str) -> Schema | None:
        """None: nothing is known of what is at fault."""
        self._report(where, "schema", message)
        return None

    def _has_room(self, where: Where) -> bool:
        self._schemas += 1
        if self._schemas == MOST_SCHEMAS + 1:
            self._fault(where, f"An input schema may have {MOST_SCHEMAS} parts.")
        return self._schemas <= MOST_SCHEMAS

    # -- Picoschema

    def _pico(self, value: Any, where: Where) -> Schema | None:
        if not self._has_room(where):
            return None
        if isinstance(value, str):
            kind, _, description = value.partition(",")
            if kind not in SCALARS:
                return self._fault(where, f'There is no type "{kind}". There are {", ".join(SCALARS)}.')
            return ({} if kind == "any" else {"type": kind}) | _described(description)
        if not isinstance(value, dict):
            return self._fault(where, "Picoschema has a type here, such as string, or a mapping.")
        schema: Schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
        for key, part in value.items():
            self._pico_property(schema, key, part, (*where, key))
        return schema if schema["required"] else {key: part for key, part in schema.items() if key != "required"}

    def _pico_property(self, schema: Schema, key: str, part: Any, where: Where) -> None:
        if key == "(*)":
            schema["additionalProperties"] = self._pico(part, where) or {}
            return
        found = _KEY.fullmatch(key)
        if found is None:
            self._fault(where, f'"{key}" is no name, with "?" for what is optional and "(array)" and the like behind.')
            return
        name, optional = found[1], bool(found[2])
        kind, _, description = (found[3] or "").partition(",")
        made = self._pico_kind(kind, part, where) if found[3] is not None else self._pico(part, where)
        if made is None:
            return
        if optional and isinstance(made.get("type"), str):
            made["type"] = [made["type"], "null"]
        if optional and None not in made.get("enum", [None]):
            made["enum"] = [*made["enum"], None]
        schema["properties"][name] = made | _described(description)
        if not optional:
            schema["required"].append(name)

    def _pico_kind(self, kind: str, part: Any, where: Where) -> Schema | None:
        match kind:
            case "array":
                items = self._pico(part, where)
                return None if items is None else {"type": "array", "items": items}
            case "object":
                return self._pico(part, where)
            case "enum":
                return {"enum": list(part)} if self._is_choice(part, where) else None
        return self._fault(where, f'In parentheses is array, object or enum, not "{kind}".')

    def _is_choice(self, value: Any, where: Where) -> bool:
        good = isinstance(value, list) and 0 < len(value) <= MOST_CHOICES
        if not good or any(isinstance(each, dict | list) for each in value):
            self._fault(where, f"An enum is a list of 1 to {MOST_CHOICES} texts, numbers or booleans.")
            return False
        return True

    # -- JSON Schema

    def _json(self, value: Any, where: Where) -> Schema | None:
        if not self._has_room(where):
            return None
        if value is True:
            return {}
        if not isinstance(value, dict):
            return self._fault(where, "A JSON Schema is a mapping.")
        return {key: self._json_keyword(key, part, (*where, key)) for key, part in value.items()}

    def _json_keyword(self, key: str, part: Any, where: Where) -> Any:
        if key == "properties" and isinstance(part, dict):
            return {name: self._json(each, (*where, name)) or {} for name, each in part.items()}
        if key == "items":
            return self._json(part, where) or {}
        if key == "additionalProperties":
            return part if isinstance(part, bool) else self._json(part, where) or {}
        if not self._is_good(key, part, where):
            self._fault(where, f'"{key}" has a value that it cannot have, or is not supported.')
        return part

    def _is_good(self, key: str, part: Any, where: Where) -> bool:
        number = isinstance(part, int | float) and not isinstance(part, bool)
        match key:
            case "type":
                kinds = part if isinstance(part, list) else [part]
                return 0 < len(kinds) <= len(TYPES) and all(kind in TYPES for kind in kinds)
            case "enum":
                return self._is_choice(part, where)
            case "required":
                return isinstance(part, list) and all(isinstance(name, str) for name in part)
            case "uniqueItems":
                return isinstance(part, bool)
            case "pattern":
                return isinstance(part, str) and len(part) <= MOST_PATTERN and _compiles(part)
            case "const":
                return not isinstance(part, dict | list)
            case "multipleOf":
                return number and part > 0
        if key in _COUNTS:
            return isinstance(part, int) and number and part >= 0
        return number if key in _NUMBERS else key in _REMARKS


def _described(description: str) -> Schema:
    return {"description": description.strip()} if description.strip() else {}


def _compiles(pattern: str) -> bool:
    import regex

    try:
        regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError):
        return False
    return True


def type_word(schema: Schema) -> str:
    """A variable's type in a word; `any` where there are several or none."""
    kind = schema.get("type")
    kinds = [each for each in (kind if isinstance(kind, list) else [kind]) if each not in (None, "null")]
    if len(kinds) == 1:
        return str(kinds[0])
    choices = [each for each in schema.get("enum", []) if each is not None]
    return "string" if choices and all(isinstance(each, str) for each in choices) else "any"
