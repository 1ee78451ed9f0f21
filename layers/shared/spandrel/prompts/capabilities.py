"""What a template asks for, held against a user's integrations and tools as they are now."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from spandrel.prompts.models import CapabilityMatch, Tool

CALLABLE = ("healthy", "degraded")
MAX_NAME = 64  # what providers allow a tool's name
_DIGEST = 16
_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]")
ToolRow = dict[str, Any]
"""A row of `matching_tools`."""


def obstacle(row: ToolRow) -> str | None:
    """Why a tool cannot be called now; None: it can."""
    if not row["enabled"]:
        return "disabled"
    if row["integration_status"] not in CALLABLE:
        return str(row["reason"] or row["integration_status"])
    if row["policy"] == "never":
        return "not_allowed"
    return "held_for_review" if row["status"] == "held" else None


def serves(row: ToolRow, capability: str) -> bool:
    """By what the tool declares, by its name, or by `integration.tool`."""
    return capability in (row["name"], f"{row['integration']}.{row['name']}", *row["capabilities"])


def map_capabilities(wanted: Iterable[str], rows: Sequence[ToolRow]) -> list[CapabilityMatch]:
    """One match for each capability, in order: a callable tool if there is one, a healthy integration's first."""
    return [_match(capability, [row for row in rows if serves(row, capability)]) for capability in wanted]


def _match(capability: str, rows: list[ToolRow]) -> CapabilityMatch:
    if not rows:
        return CapabilityMatch(capability=capability, available=False, reason="no_tool")
    best = min(rows, key=lambda row: (obstacle(row) is not None, row["integration_status"] != "healthy"))
    reason = obstacle(best)
    return CapabilityMatch(
        capability=capability,
        available=reason is None,
        integration=best["integration"],
        tool=best["name"],
        status=best["integration_status"],
        reason=reason,
    )


def callable_tools(rows: Iterable[ToolRow]) -> list[Tool]:
    """The tools that a model may be offered now, by name, whatever the order of `rows`."""
    tools = [
        Tool(
            offered_name(row["integration"], row["name"]),
            row["integration"],
            row["name"],
            row["description"],
            row["parameters"],
            row["policy"],
        )
        for row in rows
        if obstacle(row) is None
    ]
    return sorted(tools, key=lambda tool: tool.name)


def offered_name(integration: str, tool: str) -> str:
    """What a model calls the tool by: a legal name that no other pair has, whatever else is offered.

    `integration__tool` where that is legal and its first `__` is where the two meet. Any other pair gets a name that
    holds no `__`, so it can be nobody's of the first kind, and a digest of the pair, which keeps it from its own kind.
    """
    name = f"{integration}__{tool}"
    if len(name) <= MAX_NAME and name.index("__") == len(integration) and not _ILLEGAL.search(name):
        return name
    digest = hashlib.sha256(f"{integration}\0{tool}".encode()).hexdigest()[:_DIGEST]
    legal = re.sub("_{2,}", "_", _ILLEGAL.sub("_", name))
    return f"{legal[: MAX_NAME - _DIGEST - 1].rstrip('_')}_{digest}"
