"""What a template asks for, held against a user's integrations and tools as they are now."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from spandrel.prompts.models import CapabilityMatch, Tool

CALLABLE = ("healthy", "degraded")
MAX_NAME = 64  # what providers allow a tool's name
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


def callable_tools(rows: Sequence[ToolRow]) -> list[Tool]:
    """The tools that a model may be offered now, under names that no two of them share."""
    tools: list[Tool] = []
    taken: set[str] = set()
    for row in rows:
        if obstacle(row) is None:
            name = _unique(f"{row['integration']}__{row['name']}", taken)
            described = (row["description"], row["parameters"])
            tools.append(Tool(name, row["integration"], row["name"], *described, policy=row["policy"]))
    return tools


def _unique(name: str, taken: set[str]) -> str:
    legal = _ILLEGAL.sub("_", name)[:MAX_NAME]
    candidate, number = legal, 2
    while candidate in taken:
        candidate = f"{legal[: MAX_NAME - 4]}_{number}"
        number += 1
    taken.add(candidate)
    return candidate
