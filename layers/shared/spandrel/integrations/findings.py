"""A check's outcome, worked out and written: judged by what was known before, with what became of the tools."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from spandrel.database import Transaction
from spandrel.integrations import store
from spandrel.integrations.evidence import clipped, evidence, server
from spandrel.integrations.judge import Notice, judge
from spandrel.integrations.models import Probe
from spandrel.integrations.tools import KnownTool, listed, reconcile, tools_hash


@dataclass(frozen=True, slots=True)
class Finding:
    """`row`: the integration as it was when the check began. `asked`: by its owner."""

    row: dict[str, Any]
    probe: Probe
    asked: bool = False


def write(tx: Transaction, findings: Sequence[Finding]) -> dict[UUID, float]:
    """Those that were written, with the seconds until each is due again. The others' integrations have changed since.

    One flight, and one before it where lists of tools are others than before.
    """
    listings = {finding.row["id"]: listed(finding.probe.tools) for finding in findings if finding.probe.reason is None}
    hashes = {id_: tools_hash(tools) for id_, tools in listings.items()}
    news = [each.row["id"] for each in findings if hashes.get(each.row["id"]) not in (None, each.row["tools_hash"])]
    known = store.known_tools(tx, news) if news else {}
    results = []
    for finding in findings:
        result, id_ = _judged(finding), finding.row["id"]
        if id_ in known:
            found = reconcile(known[id_], listings[id_], finding.row["capabilities"])
            result["events"] += [_tool_event(id_, notice) for notice in found.notices]
            result["tools"] = [_tool_row(tool) for tool in found.tools]
            result["tools_hash"] = hashes[id_].hex()
        results.append(result)
    written = store.record_checks(tx, results)
    due = {finding.row["id"]: result["next_check_seconds"] for finding, result in zip(findings, results, strict=True)}
    return {id_: due[id_] for id_ in written}


def _judged(finding: Finding) -> dict[str, Any]:
    row, probe = finding.row, finding.probe
    spread = random.uniform(-1, 1)  # noqa: S311 - spreads load, guards nothing
    verdict = judge(store.health(row), probe, datetime.now(UTC), asked=finding.asked, spread=spread)
    health = verdict.health
    return {
        "id": str(row["id"]),
        "version": row["version"],
        "status": health.status,
        "reason": health.reason,
        "detail": clipped(health.detail),
        "recent": health.recent,
        "failures": health.failures,
        "turning_points": [point.isoformat() for point in health.turning_points],
        "flapping": health.flapping,
        "in_maintenance": health.in_maintenance,
        "tls_notices": health.tls_notices,
        "server": server(probe),
        "next_check_seconds": verdict.next_check_seconds,
        "in_time": finding.asked and probe.retry_after is None,
        "found": probe.reason.value if probe.reason else None,
        "found_detail": clipped(probe.detail),
        "asked": finding.asked,
        "total_ms": probe.timings.total,
        "evidence": evidence(probe),
        "events": [_event(row["id"], notice) for notice in verdict.notices],
        "tools": [],
    }


def _event(integration_id: UUID, notice: Notice) -> dict[str, Any]:
    return {"type": notice.type, "subject": f"integrations/{integration_id}", "data": notice.data}


def _tool_event(integration_id: UUID, notice: Notice) -> dict[str, Any]:
    subject = f"integrations/{integration_id}/tools/{notice.data['name']}"
    return {"type": notice.type, "subject": subject, "data": notice.data | {"integration_id": str(integration_id)}}


def _tool_row(tool: KnownTool) -> dict[str, Any]:
    return {
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "input_schema": tool.input_schema,
        "output_schema": tool.output_schema,
        "annotations": tool.annotations,
        "schema_hash": tool.schema_hash.hex(),
        "approved_hash": tool.approved_hash.hex(),
        "rejected_hash": tool.rejected_hash.hex() if tool.rejected_hash is not None else None,
        "approved": tool.approved,
        "capabilities": tool.capabilities,
        "status": tool.status,
    }
