"""The fields of a front matter: dotprompt's own, and ours under `spandrel.`.

https://google.github.io/dotprompt/reference/frontmatter . Fields of other namespaces are left to those who know them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from spandrel.templates.conform import Conform
from spandrel.templates.input_schema import InputSchema, Schema
from spandrel.templates.models import SearchMode
from spandrel.templates.yaml_values import Report, Tree, Where, read_yaml

_LINE = re.compile(r"([^\r\n]*)(\r\n|\r|\n|\Z)")
_DELIMITER = re.compile(r"---[ \t]*")
_CAPABILITY = re.compile(r"[a-z0-9][a-z0-9_-]*(\.[a-z0-9][a-z0-9_-]*)*")
_TOOL = re.compile(r"[A-Za-z0-9_./:-]{1,128}")
UNSUPPORTED = ("output", "toolDefs", "ext", "raw")


@dataclass(slots=True)
class RawKnowledge:
    """`spandrel.knowledge` before its query is compiled. `offset`: of the query in the source."""

    query: str
    offset: int
    collections: list[str]
    top_k: int
    mode: SearchMode
    score_threshold: float | None


@dataclass(slots=True)
class FrontMatter:
    """`schema` None: none is declared, or none that could be read."""

    model: str | None = None
    description: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    schema: Schema | None = None
    defaults: dict[str, Any] = field(default_factory=dict)
    tools: list[str] = field(default_factory=list)
    capabilities: list[str] = field(default_factory=list)
    auto_execute: bool = False
    confidence_threshold: float = 0.8
    knowledge: RawKnowledge | None = None


def split(source: str, report: Report) -> tuple[str | None, int, str, int]:
    """YAML (None: none is declared) and body, each with its offset. A body behind a front matter is stripped."""
    begin, position = None, 0
    while position < len(source):
        line = _LINE.match(source, position)
        assert line is not None
        if _DELIMITER.fullmatch(line[1]):
            if begin is not None:
                rest = source[line.end() :]
                body = rest.lstrip()
                return source[begin:position], begin, body.rstrip(), line.end() + len(rest) - len(body)
            begin, opened = line.end(), position
        elif begin is None and line[1].strip() and not line[1].startswith("#"):
            break  # comments and empty lines may come first, nothing else
        position = line.end()
    if begin is None:
        return None, 0, source, 0
    report(opened, "yaml", "The front matter is never closed: a line --- is missing.")
    return source[begin:], begin, "", len(source)


def read_front_matter(yaml: str, offset: int, report: Report) -> FrontMatter:
    """`report` takes offset, code and message of what is wrong."""

    def shifted(at: int, code: str, message: str) -> None:
        report(offset + at, code, message)

    return _Reader(read_yaml(yaml, shifted), shifted, offset).read()


class _Reader:
    def __init__(self, tree: Tree, report: Report, base: int) -> None:
        self._tree, self._report, self._base = tree, report, base
        self._found = FrontMatter()

    def read(self) -> FrontMatter:
        value = self._tree.value
        if isinstance(value, dict):
            for name, part in value.items():
                self._field(name, part, (name,))
        elif value is not None:
            self._fault((), "field_type", "The front matter is a mapping.")
        return self._found

    def _fault(self, where: Where, code: str, message: str) -> None:
        self._report(self._tree.offset(where), code, message)

    def _field(self, name: str, part: Any, where: Where) -> None:
        if name in UNSUPPORTED:
            self._fault(where, "unsupported", f'"{name}" is not supported.')
        elif read := _FIELDS.get(name):
            if part is not None:
                read(self, part, where)
        elif name.startswith("spandrel."):
            ours = ", ".join(known for known in _FIELDS if known.startswith("spandrel."))
            self._fault(where, "unknown_field", f'There is no field "{name}". There are {ours}.')
        elif "." not in name:
            theirs = ", ".join(known for known in _FIELDS if "." not in known)
            self._fault(where, "unknown_field", f'There is no field "{name}". There are {theirs}, and spandrel.*.')

    def _is(self, part: Any, kind: type | tuple[type, ...], where: Where, said: str) -> bool:
        good = isinstance(part, kind) and (kind is bool or not isinstance(part, bool))
        if not good:
            self._fault(where, "field_type", f'"{where[-1]}" must be {said}.')
        return good

    def _ignored(self, part: Any, where: Where) -> None:
        """dotprompt's fields for those who keep prompts in files; ours are named by the API."""
        self._is(part, (str, int, float, dict), where, "a text")

    def _model(self, part: Any, where: Where) -> None:
        if self._is(part, str, where, "a text"):
            self._found.model = part

    def _description(self, part: Any, where: Where) -> None:
        if self._is(part, str, where, "a text"):
            self._found.description = part

    def _config(self, part: Any, where: Where) -> None:
        if self._is(part, dict, where, "a mapping"):
            self._found.config = part

    def _names(self, part: Any, where: Where, shape: re.Pattern[str], said: str) -> list[str]:
        good: list[str] = []
        if self._is(part, list, where, f"a list of {said}"):
            for index, name in enumerate(part):
                if isinstance(name, str) and shape.fullmatch(name) and len(good) < 100:
                    good.append(name)
                else:
                    self._fault((*where, index), "field_type", f"{str(name)[:50]!r} is not one of a hundred {said}.")
        return list(dict.fromkeys(good))

    def _tools(self, part: Any, where: Where) -> None:
        self._found.tools = self._names(part, where, _TOOL, "names of tools")

    def _capabilities(self, part: Any, where: Where) -> None:
        self._found.capabilities = self._names(part, where, _CAPABILITY, "capabilities such as calendar.read")

    def _auto_execute(self, part: Any, where: Where) -> None:
        if self._is(part, bool, where, "true or false"):
            self._found.auto_execute = part

    def _threshold(self, part: Any, where: Where) -> None:
        if self._is(part, (int, float), where, "a number from 0 to 1"):
            if 0 <= part <= 1:
                self._found.confidence_threshold = float(part)
            else:
                self._fault(where, "field_type", f'"{where[-1]}" must be a number from 0 to 1.')

    def _input(self, part: Any, where: Where) -> None:
        if not self._is(part, dict, where, "a mapping with schema and default"):
            return
        for key in part.keys() - {"schema", "default"}:
            self._fault((*where, key), "unknown_field", f'"input" has schema and default, but no "{key}".')
        if part.get("schema") is not None:
            reader = InputSchema(self._fault)
            self._found.schema = reader.read(part["schema"], (*where, "schema"))
        defaults = part.get("default")
        if defaults is not None and self._is(defaults, dict, (*where, "default"), "a mapping of variables"):
            self._defaults(defaults, (*where, "default"))

    def _defaults(self, defaults: dict[str, Any], where: Where) -> None:
        self._found.defaults = defaults
        if self._found.schema is None:
            return
        declared = self._found.schema["properties"]
        for name, value in defaults.items():
            if name not in declared:
                self._fault((*where, name), "undeclared", f'The variable "{name}" is not declared in the input schema.')
                continue
            for misfit in Conform().misfits(value, declared[name]):
                self._fault((*where, name), "default", f'The default of "{name}{misfit.where}" {misfit.reason}.')

    def _knowledge(self, part: Any, where: Where) -> None:
        if not self._is(part, dict, where, "a mapping with a query"):
            return
        for misfit in Conform().misfits(part, _KNOWLEDGE):
            name = misfit.where.lstrip(".").split("[")[0]
            told = f"spandrel.knowledge{misfit.where}"
            self._fault((*where, name), "field_type", f'"{told}" {misfit.reason}.')
            if misfit.code in ("missing", "type"):
                return
        offset = self._base + self._tree.offset((*where, "query"))
        self._found.knowledge = RawKnowledge(
            part["query"],
            offset,
            part.get("collections") or [],
            part.get("top_k", 5),
            part.get("mode", "hybrid"),
            part.get("score_threshold"),
        )


_KNOWLEDGE: Schema = {
    "type": "object",
    "properties": {
        "query": {"type": "string", "minLength": 1, "maxLength": 8000},
        "collections": {
            "type": "array",
            "maxItems": 100,
            "items": {"type": "string", "minLength": 1, "maxLength": 200},
        },
        "top_k": {"type": "integer", "minimum": 1, "maximum": 20},
        "mode": {"type": "string", "enum": ["hybrid", "vector", "text"]},
        "score_threshold": {"type": "number", "minimum": 0},
    },
    "required": ["query"],
    "additionalProperties": False,
}
_FIELDS: dict[str, Callable[[_Reader, Any, Where], None]] = {
    "model": _Reader._model,
    "config": _Reader._config,
    "input": _Reader._input,
    "tools": _Reader._tools,
    "description": _Reader._description,
    "name": _Reader._ignored,
    "variant": _Reader._ignored,
    "version": _Reader._ignored,
    "metadata": _Reader._ignored,
    "spandrel.capabilities": _Reader._capabilities,
    "spandrel.auto_execute": _Reader._auto_execute,
    "spandrel.confidence_threshold": _Reader._threshold,
    "spandrel.knowledge": _Reader._knowledge,
}
