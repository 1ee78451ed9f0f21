"""The registry of an integration's tools: what its server lists now, held against what its owner trusts. Pure.

A tool is trusted when it is first seen. One whose name, description or input schema is another later is held: a model
may not call what nobody looked at. It is free again when it is approved, or when the server takes the change back.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from spandrel.integrations.judge import Notice
from spandrel.integrations.models import DiscoveredTool
from spandrel.integrations.records import ToolStatus

MAX_TOOLS = 1000
MAX_NAME, MAX_DESCRIPTION, MAX_SCHEMA = 128, 20_000, 100_000
"""Characters, characters, bytes of JSON."""
MAX_DEPTH = 64
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class KnownTool:
    """A row of the registry. Hashes are those of `schema_hash`; `rejected_hash` None: nothing was turned down.

    `approved`: what was trusted, where it is not what is listed.
    """

    name: str
    title: str | None
    description: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None
    annotations: dict[str, Any]
    schema_hash: bytes
    approved_hash: bytes
    rejected_hash: bytes | None
    approved: dict[str, Any] | None
    capabilities: tuple[str, ...]
    status: ToolStatus


def schema_hash(name: str, description: str, input_schema: Mapping[str, Any]) -> bytes:
    """SHA-256 over the canonical JSON of what decides how a model calls it."""
    return hashlib.sha256(msgspec.json.encode([name, description, input_schema], order="deterministic")).digest()


def tools_hash(tools: Sequence[DiscoveredTool]) -> bytes:
    """Of the whole list as it is kept: while it stays the same there is nothing to compare."""
    rows = [
        [tool.name, tool.title, tool.description, tool.input_schema, tool.output_schema, tool.annotations]
        for tool in tools
    ]
    return hashlib.sha256(msgspec.json.encode(rows, order="deterministic")).digest()


def storable(value: Any, depth: int = 0) -> Any:
    """`value` without what Postgres cannot hold, and without what is nested too deep to be meant well."""
    match value:
        case str():
            return _UNSTORABLE.sub("\ufffd", value)
        case dict() | list() | tuple() if depth == MAX_DEPTH:
            return None
        case dict():
            return {storable(str(key)): storable(item, depth + 1) for key, item in value.items()}
        case list() | tuple():
            return [storable(item, depth + 1) for item in value]
        case float() if not math.isfinite(value):
            return None
        case int() if not -(2**63) <= value < 2**63:
            return None
    return value


def listed(tools: Iterable[DiscoveredTool]) -> list[DiscoveredTool]:
    """What of a server's list can be kept, by name: the first of each, without those that are too large."""
    found: dict[str, DiscoveredTool] = {}
    for tool in tools:
        kept = replace(
            tool,
            name=storable(tool.name),
            title=storable(tool.title)[:200] if tool.title else None,
            description=storable(tool.description)[:MAX_DESCRIPTION],
            input_schema=storable(tool.input_schema),
            output_schema=_bounded(storable(tool.output_schema)),
            annotations=_bounded(storable(tool.annotations)) or {},
        )
        if 0 < len(kept.name) <= MAX_NAME and _bounded(kept.input_schema) is not None:
            found.setdefault(kept.name, kept)
    return [found[name] for name in sorted(found)[:MAX_TOOLS]]


def _bounded(value: Any) -> Any:
    return value if len(msgspec.json.encode(value)) <= MAX_SCHEMA else None


@dataclass(frozen=True, slots=True)
class Reconciled:
    """`tools`: rows to be written. `notices`: one a tool that a client must know of, by name."""

    tools: list[KnownTool]
    notices: tuple[Notice, ...]


def reconcile(
    known: Iterable[KnownTool], tools: Sequence[DiscoveredTool], wanted: Mapping[str, Sequence[str]]
) -> Reconciled:
    """`tools` as `listed` gives them. `wanted`: capabilities of tools by name, for those that are new."""
    before = {tool.name: tool for tool in known}
    rows: list[KnownTool] = []
    notices: list[Notice] = []
    for tool in tools:
        row, change = _meet(before.pop(tool.name, None), tool, wanted.get(tool.name, ()))
        if row is not None:
            rows.append(row)
        if row is not None and change:
            notices.append(_notice(change, row))
    for gone in before.values():
        if gone.status != "removed":
            rows.append(replace(gone, status="removed"))
            notices.append(_notice("removed", rows[-1]))
    return Reconciled(rows, tuple(sorted(notices, key=lambda notice: str(notice.data["name"]))))


Change = Literal["added", "removed", "changed"]


def _notice(change: Change, tool: KnownTool) -> Notice:
    return Notice(f"tool.{change}", {"name": tool.name, "status": tool.status, "schema_hash": tool.schema_hash.hex()})


def _meet(
    known: KnownTool | None, tool: DiscoveredTool, wanted: Sequence[str]
) -> tuple[KnownTool | None, Change | None]:
    """The row to be written (None: it stands as it is), and what of it is news."""
    digest = schema_hash(tool.name, tool.description, tool.input_schema)
    trusted = known.approved_hash if known else digest
    held = digest != trusted
    row = KnownTool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.input_schema,
        output_schema=tool.output_schema,
        annotations=tool.annotations,
        schema_hash=digest,
        approved_hash=trusted,
        rejected_hash=known.rejected_hash if known else None,
        approved=_trusted(known) if known and held else None,
        capabilities=known.capabilities if known else tuple(wanted),
        status="held" if held else "active",
    )
    if known is None or known.status == "removed":
        return row, "added"
    if row == known:
        return None, None
    return row, "changed" if known.schema_hash != digest else None


def _trusted(known: KnownTool) -> dict[str, Any]:
    """What its owner trusts, kept while it is not what is listed."""
    return known.approved or {"description": known.description, "input_schema": known.input_schema}
