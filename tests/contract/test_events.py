"""The catalogue of events holds every type that is written, and says what it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import jsonschema_rs
import pytest

from spandrel.events.catalogue import BY_NAME, CATALOGUE

ROOT = Path(__file__).parents[2]
SQL = sorted([*(ROOT / "migrations").glob("*.sql"), *(ROOT / "layers").rglob("queries.sql")])
TYPE = re.compile(r"'([a-z]+\.[a-z_]+)'")
COMPUTED = {
    "'document.' || %(stage)s": {"document.chunking", "document.embedding"},
    "'session.' || new.status": {
        "session.active", "session.paused", "session.completed", "session.failed", "session.cancelled",
        "session.expired",
    },
    "'turn.' || p_status": {"turn.failed", "turn.cancelled"},
    "'turn.' || CASE WHEN outcome = 'queued' THEN 'retrying' ELSE outcome END": {
        "turn.retrying", "turn.failed", "turn.cancelled",
    },
    "p_event": {"session.restored", "session.rewound"},  # sessions/checkpoints.py, sessions/turns.py
    "type": {"usage.budget_warning", "usage.budget_reached"},  # record_usage, from its own VALUES
    "e.type": {each.name for each in CATALOGUE if each.name.startswith(("integration.", "tool."))},  # judged in Python
}  # fmt: skip
"""Types that the SQL works out, by the expression that does: where a new one appears, say here what it can be."""


def calls(sql: str) -> Iterator[list[str]]:
    """The arguments of every call of `append_event`."""
    text = re.sub(r"--[^\n]*", "", sql)
    for match in re.finditer(r"\bappend_event\(", text):
        if re.search(r"FUNCTION\s+$", text[: match.start()]):
            continue  # its definition
        depth, begin, found, quoted = 1, match.end(), [], False
        for place in range(match.end(), len(text)):
            char = text[place]
            quoted ^= char == "'"
            if quoted:
                continue
            depth += {"(": 1, ")": -1}.get(char, 0)
            if depth == 0 or (depth == 1 and char == ","):
                found.append(" ".join(text[begin:place].split()))
                begin = place + 1
            if depth == 0:
                break
        yield found


def written() -> dict[str, str]:
    """Every type that the SQL can write, and the file that does."""
    found: dict[str, str] = {}
    for path in SQL:
        for arguments in calls(path.read_text(encoding="utf-8")):
            assert len(arguments) == 4, (path, arguments)
            expression = arguments[1]
            types = COMPUTED.get(expression) or set(TYPE.findall(expression))
            assert types, f"{path}: say in COMPUTED which types {expression!r} can be"
            found |= dict.fromkeys(types, str(path))
    return found


def test_every_type_that_is_written_is_in_the_catalogue() -> None:
    found = written()
    assert {name: path for name, path in found.items() if name not in BY_NAME} == {}
    assert len(found) > 35


def test_the_catalogue_lists_nothing_that_no_one_writes() -> None:
    """Of the features that are whole."""
    whole = ("collection.", "document.", "template.", "conversation.", "session.", "checkpoint.", "usage.")
    listed = {each.name for each in CATALOGUE if each.name.startswith(whole)}
    assert listed - written().keys() == set()


def test_computed_types_are_written_somewhere() -> None:
    text = " ".join(" ".join(path.read_text(encoding="utf-8").split()) for path in SQL)
    for expression in COMPUTED.keys() - {"e.type"}:
        assert f", {expression}," in text, expression


def test_each_is_listed_once_under_a_name_that_can_be_filtered_by() -> None:
    assert len(BY_NAME) == len(CATALOGUE)
    for each in CATALOGUE:
        assert re.fullmatch(r"[a-z]+\.[a-z_]+", each.name)
        assert each.sentence.endswith(".")


@pytest.mark.parametrize("each", CATALOGUE, ids=lambda each: each.name)
def test_each_has_a_schema_that_is_one(each) -> None:
    schema, components = each.schema("#/$defs/{name}")
    jsonschema_rs.Draft202012Validator(schema | {"$defs": components}).is_valid({})
    assert json.loads(json.dumps(components))[each.data.__name__]["type"] == "object"
