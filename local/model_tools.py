"""Tool calls of the stand-in: a tool that is asked for by its name is called with what its schema requires."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

_DEPTH = 8
_FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


@dataclass(frozen=True, slots=True)
class ToolCall:
    id: str
    name: str
    arguments: str


def calls_for(question: str, tools: list[dict[str, Any]]) -> list[ToolCall]:
    """A call of each tool whose name stands in the question, as a word of its own."""
    named = [tool for tool in tools if re.search(rf"(?<![\w-]){re.escape(tool['name'])}(?![\w-])", question)]
    return [
        ToolCall(f"call_{number}", tool["name"], json.dumps(arguments(tool.get("parameters") or {}, question)))
        for number, tool in enumerate(named, start=1)
    ]


def arguments(schema: dict[str, Any], question: str) -> Any:
    """A value of the schema's type, with its required members alone; `question` where any text will do."""
    return _Example(schema, question).of({"type": "object"} | schema, 0)


@dataclass(frozen=True, slots=True)
class _Example:
    root: dict[str, Any]
    text: str

    def of(self, schema: Any, depth: int) -> Any:
        schema = self._resolved(schema)
        for given in ("const", "default"):
            if given in schema:
                return schema[given]
        for listed in ("enum", "examples"):
            if schema.get(listed):
                return schema[listed][0]
        for choice in ("anyOf", "oneOf"):
            if schema.get(choice) and depth < _DEPTH:
                return self.of(schema[choice][0], depth + 1)
        kinds = schema.get("type", "object" if "properties" in schema else "string")
        kind = next((each for each in kinds if each != "null"), "null") if isinstance(kinds, list) else kinds
        return self._of_kind(kind, schema, depth)

    def _of_kind(self, kind: str, schema: dict[str, Any], depth: int) -> Any:
        if kind in ("integer", "number"):
            return schema.get("minimum", min(1, schema.get("maximum", 1)))
        if kind == "boolean":
            return True
        if kind == "null" or depth >= _DEPTH:
            return None
        if kind == "array":
            return [self.of(schema.get("items", {}), depth + 1) for _ in range(schema.get("minItems", 1))]
        if kind == "object":
            members = schema.get("properties", {})
            return {name: self.of(members.get(name, {}), depth + 1) for name in schema.get("required", [])}
        text = _FORMATS.get(schema.get("format", ""), self.text)[: schema.get("maxLength")]
        return text.ljust(schema.get("minLength", 0), ".")

    def _resolved(self, schema: Any) -> dict[str, Any]:
        """Through `$ref`s into the schema itself; what leads nowhere is anything."""
        for _ in range(_DEPTH):
            if not isinstance(schema, dict):
                return {}
            if not isinstance(reference := schema.get("$ref"), str):
                return schema
            schema = self.root
            for part in reference.removeprefix("#").strip("/").split("/"):
                schema = schema.get(part) if isinstance(schema, dict) else None
        return {}
