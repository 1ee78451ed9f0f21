"""JSON and JSON Lines: a record, a block; a value, a line with its path."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from spandrel.errors import DocumentDamagedError, DocumentLimitError
from spandrel.knowledge.ingest.parse.builder import Builder
from spandrel.knowledge.ingest.parse.models import ParsedDocument
from spandrel.knowledge.ingest.parse.text import decode

_MAX_DEPTH = 100
_LITERALS = {True: "true", False: "false", None: "null"}


def _load(text: str) -> Any:
    """Numbers stay as they are written."""
    try:
        return json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except RecursionError:
        raise DocumentLimitError("The JSON is nested too deeply to be read.") from None


def _values(text: str, lines: bool) -> tuple[Any, bool]:
    """The value, and whether it is the list of a JSON Lines file."""
    if not lines:
        try:
            return _load(text), False
        except json.JSONDecodeError as error:
            if "Extra data" not in error.msg:
                raise DocumentDamagedError(_fault(error.lineno, error.colno)) from None
    records = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                records.append(_load(line))
            except json.JSONDecodeError as error:
                raise DocumentDamagedError(_fault(number, error.colno)) from None
    return records, True


def _fault(line: int, column: int) -> str:
    return f"The file is not valid JSON: see line {line}, column {column}."


def _scalar(value: Any) -> str:
    return value.strip() if isinstance(value, str) else _LITERALS[value]


def _is_scalar(value: Any) -> bool:
    return not isinstance(value, (dict, list))


def _flat(path: str, value: Any, depth: int = 0) -> Iterator[str]:
    """`path: value` lines. List positions are not in the path: they say nothing and change with every insertion."""
    if depth > _MAX_DEPTH:
        raise DocumentLimitError("The JSON is nested too deeply to be read.")
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(f"{path}.{key}" if path else key, item, depth + 1)
    elif isinstance(value, list) and all(map(_is_scalar, value)):
        yield from _flat(path, ", ".join(filter(None, map(_scalar, value))), depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _flat(path, item, depth + 1)
    elif text := _scalar(value):
        yield f"{path}: {text}" if path else text


def _add(builder: Builder, path: str, value: Any) -> None:
    """A list of records gives a block a record, anything else one block."""
    records = value if isinstance(value, list) and not all(map(_is_scalar, value)) else [value]
    for record in records:
        builder.add("table_row", "\n".join(_flat(path, record)))


def parse(data: bytes, content_type: str = "application/json") -> ParsedDocument:
    """The value as text. In an object, each key that holds more than a scalar is a section.

    Raises `DocumentDamagedError` with the place of a syntax fault, `DocumentLimitError` for nesting beyond reason.
    """
    value, lines = _values(decode(data), content_type == "application/x-ndjson")
    builder = Builder()
    if isinstance(value, dict):
        builder.add("table_row", "\n".join(_flat("", {k: v for k, v in value.items() if _is_scalar(v)})))
        for key, item in value.items():
            if item and not _is_scalar(item):
                builder.add("heading", key, level=1)
                _add(builder, "", item)
    else:
        _add(builder, "", value)
    return builder.document("application/x-ndjson" if lines else content_type)
