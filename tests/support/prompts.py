"""Templates without a database: sources parsed with partials from a mapping, and rendered."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from spandrel.errors import TemplateInvalidError
from spandrel.templates.bind import bind
from spandrel.templates.models import PartialSource
from spandrel.templates.parse import Parsed, parse
from spandrel.templates.render import Rendered, render

SYSTEM: dict[str, Any] = {"date": "2026-11-24", "locale": "de-CH", "user": {"id": "u1", "name": "Ada"}}


def partials(sources: Mapping[str, str]) -> Callable[[str], PartialSource | None]:
    def find(name: str) -> PartialSource | None:
        if name not in sources:
            return None
        digest = hashlib.sha256(sources[name].encode()).digest()
        return PartialSource(name=name, template_id=UUID(int=1), version=1, hash=digest, source=sources[name])

    return find


def parsed(source: str, itself: str | None = None, **sources: str) -> Parsed:
    return parse(source, partials(sources), itself=itself)


def with_variables(body: str, schema: str = "") -> str:
    """A source whose input schema is the given Picoschema, a line a variable."""
    lines = "\n".join(f"    {line}" for line in schema.splitlines())
    return f"---\ninput:\n  schema:\n{lines}\n---\n{body}"


def rendered(source: str, values: Mapping[str, Any] | None = None, **sources: str) -> list[Rendered]:
    found = parsed(source, **sources)
    return render(found.program, bind(found.structure, dict(values or {})).values, SYSTEM)


def text(source: str, values: Mapping[str, Any] | None = None, **sources: str) -> str:
    """What a source without roles renders to."""
    [message] = rendered(source, values, **sources) or [Rendered("user", "")]
    assert message.role == "user"
    return message.text


def faults(source: str, itself: str | None = None, **sources: str) -> list[tuple[int, str]]:
    """Line and code of each."""
    return [(fault["line"], fault["code"]) for fault in told(source, itself, **sources)]


def told(source: str, itself: str | None = None, **sources: str) -> list[dict[str, Any]]:
    try:
        parsed(source, itself, **sources)
    except TemplateInvalidError as error:
        return list(error.members["errors"])
    return []
