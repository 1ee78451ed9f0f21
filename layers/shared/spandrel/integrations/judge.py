"""What a check means for an integration: its status, when to look again, and what its owner is told. Pure.

A status falls after three checks in a row that found it worse, and rises after two that found it better, so that a
hiccup is no news; the deciding looks follow each other quickly. The first check after the address or the credentials
changed decides at once, and so does one that its owner asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from spandrel.integrations.models import Probe, Reason, Status
from spandrel.integrations.schedule import Pace, next_check

FALL, RISE = 3, 2
"""Checks in a row; twice as many while the status flaps."""
REMEMBERED = 2 * FALL
FLAPS, CALM = 6, 2
"""Changes within `FLAP_WINDOW` that make it flapping, and fewer than which it is so no longer."""
FLAP_WINDOW = timedelta(hours=1)
TLS_NOTICE_DAYS = (1, 7, 14, 21)
TLS_REMEMBERED = 8
"""Certificates: a balanced address may show several in turn."""

STATUS_OF: dict[Reason, Status] = {
    Reason.DNS: "unreachable",
    Reason.REFUSED: "unreachable",
    Reason.TIMEOUT: "unreachable",
    Reason.CONNECTION: "unreachable",
    Reason.SERVER_ERROR: "unreachable",
    # No call can be made, and whose fault it is the reason says: the certificate's, or a private CA that was not given.
    Reason.TLS_UNTRUSTED: "unreachable",
    Reason.TLS_EXPIRED: "unreachable",
    Reason.TLS_NAME: "unreachable",
    Reason.TLS: "unreachable",
    Reason.AUTH_REQUIRED: "auth_required",
    Reason.AUTH_SERVER: "auth_required",
    Reason.SECRET_UNREADABLE: "auth_required",
    Reason.NOT_MCP: "misconfigured",
    Reason.PROTOCOL: "misconfigured",
    Reason.NOT_FOUND: "misconfigured",
    Reason.REDIRECT: "misconfigured",
    Reason.ADDRESS_FORBIDDEN: "misconfigured",
    Reason.TOO_LARGE: "misconfigured",
    Reason.TOOLS_ERROR: "degraded",
    Reason.RATE_LIMITED: "degraded",
}


@dataclass(frozen=True, slots=True)
class Health:
    """What is known before a check, and after it. `recent`: reasons of the last checks, newest first, "": a good one.

    `turning_points`: when the status changed lately. `tls_notices`: fewest days told of, by certificate.
    """

    status: Status = "unknown"
    reason: str | None = None
    detail: str | None = None
    recent: tuple[str, ...] = ()
    failures: int = 0
    turning_points: tuple[datetime, ...] = ()
    flapping: bool = False
    maintenance: tuple[datetime, datetime] | None = None
    in_maintenance: bool = False
    tls_notices: dict[str, int] = field(default_factory=dict)
    interval: float = 60.0


@dataclass(frozen=True, slots=True)
class Notice:
    """An event to be told, without its subject."""

    type: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    health: Health
    notices: tuple[Notice, ...]
    next_check_seconds: float


def status_of(reason: str) -> Status:
    return STATUS_OF[Reason(reason)] if reason else "healthy"


def level(status: Status) -> int:
    """How much can be done with it."""
    return {"healthy": 2, "degraded": 1}.get(status, 0)


def judge(before: Health, probe: Probe, now: datetime, *, asked: bool = False, spread: float = 0.0) -> Verdict:
    """`asked`: by its owner, which decides at once. `spread`: -1 to 1, where in its jitter the next check falls."""
    found = probe.reason.value if probe.reason else ""
    health = replace(
        before,
        recent=(found, *before.recent)[:REMEMBERED],
        failures=before.failures + 1 if found else 0,
    )
    health, notices = _maintain(health, now)
    if not health.in_maintenance:
        health, told = _decide(health, probe.detail, now, at_once=asked or before.status == "unknown")
        notices += told
        health, told = _watch_certificate(health, probe)
        notices += told
    pace = Pace(
        interval=before.interval,
        failures=max(health.failures - FALL, 0) if level(health.status) == 0 else 0,
        pending=not health.in_maintenance and not health.flapping and _pending(health),
        retry_after=probe.retry_after,
    )
    return Verdict(health, notices, _until_boundary(health, now, next_check(pace, spread)))


def _maintain(health: Health, now: datetime) -> tuple[Health, tuple[Notice, ...]]:
    window = health.maintenance
    inside = window is not None and window[0] <= now < window[1]
    if inside == health.in_maintenance:
        return health, ()
    data = {"until": window[1].isoformat()} if inside and window else {}
    notice = Notice(f"integration.maintenance_{'started' if inside else 'ended'}", data)
    return replace(health, in_maintenance=inside), (notice,)


def _until_boundary(health: Health, now: datetime, seconds: float) -> float:
    """Not past the moment at which a window starts or ends."""
    moments = [(moment - now).total_seconds() for moment in health.maintenance or ()]
    return min([seconds, *(moment for moment in moments if moment > 0)])


def _target(health: Health, at_once: bool) -> str | None:
    """The reason ("": none) that is to be the status's from now on; None: it stays."""
    latest = health.recent[0]
    if (status_of(latest), latest or None) == (health.status, health.reason):
        return None
    if at_once:
        return latest
    patience = 2 if health.flapping else 1
    present, rank = level(health.status), level(status_of(latest))
    if rank == present:  # another reason of the same weight: once it is the reason for certain
        return latest if _run(health, FALL * patience, lambda reason: reason == latest) else None
    if rank > present:  # to what all of them bear out
        rises = _run(health, RISE * patience, lambda reason: level(status_of(reason)) > present)
        return min(health.recent[: RISE * patience], key=lambda reason: level(status_of(reason))) if rises else None
    return latest if _run(health, FALL * patience, lambda reason: level(status_of(reason)) < present) else None


def _run(health: Health, length: int, holds: Callable[[str], bool]) -> bool:
    return len(health.recent) >= length and all(map(holds, health.recent[:length]))


def _pending(health: Health) -> bool:
    """Whether the last check points elsewhere than the status does: the next ones decide."""
    return level(status_of(health.recent[0])) != level(health.status)


def _decide(health: Health, detail: str, now: datetime, *, at_once: bool) -> tuple[Health, tuple[Notice, ...]]:
    points = tuple(point for point in health.turning_points if now - point < FLAP_WINDOW)
    notices: tuple[Notice, ...] = ()
    target = _target(health, at_once)
    if target is None:
        stays = replace(health, turning_points=points)
        if (health.recent[0] or None) == health.reason:
            stays = replace(stays, detail=detail)
    else:
        status = status_of(target)
        data = {"from": health.status, "to": status, "reason": target or None, "previous_reason": health.reason}
        notices = (Notice("integration.status_changed", data),)
        if health.status not in ("unknown", status):
            points = (*points, now)[-2 * FLAPS :]
        stays = replace(health, status=status, reason=target or None, detail=detail, turning_points=points)
    flapping = len(points) >= (CALM if health.flapping else FLAPS)
    if flapping != health.flapping:
        notices += (Notice("integration.flapping", {"flapping": flapping, "changes": len(points)}),)
    return replace(stays, flapping=flapping), notices


def _watch_certificate(health: Health, probe: Probe) -> tuple[Health, tuple[Notice, ...]]:
    """Tells once, of each certificate, that 21, 14, 7 and 1 days are left; of several at once the fewest."""
    if probe.tls is None or not probe.tls.chain:
        return health, ()
    first = min(probe.tls.chain, key=lambda each: each.not_after)
    days = next((days for days in TLS_NOTICE_DAYS if probe.tls.days_left <= days), None)
    told = health.tls_notices.get(first.sha256)
    if days is None or (told is not None and told <= days):
        return health, ()
    others = {key: value for key, value in health.tls_notices.items() if key != first.sha256}
    kept = dict(list(others.items())[-(TLS_REMEMBERED - 1) :]) | {first.sha256: days}
    data = {
        "days_left": probe.tls.days_left,
        "not_after": first.not_after.isoformat(),
        "subject": first.subject[:200],
        "sha256": first.sha256,
    }
    return replace(health, tls_notices=kept), (Notice("integration.tls_expiring", data),)
