"""A component: a part of the system that a round looks after, and the evidence of its last run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

State = Literal["ok", "failed", "stale", "never"]


@dataclass(frozen=True, slots=True)
class Component:
    """`work` gets the seconds that it may take and says what it did: numbers, of no user's own. What it raises is its
    failure. `share`: of the time that is left when its turn comes, against those after it.
    """

    name: str
    work: Callable[[float], Mapping[str, Any]]
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """`code`: of the error that ended it; None: it did what it has to."""

    name: str
    ok: bool
    detail: dict[str, Any]
    code: str | None
    duration_ms: float


@dataclass(frozen=True, slots=True)
class ComponentHealth:
    """`stale`: its last run is longer ago than it should be: `detail` says little of now. `age_seconds`: its."""

    name: str
    state: State
    age_seconds: float | None
    checked_at: datetime | None
    duration_ms: float | None
    detail: dict[str, Any]
    code: str | None


@dataclass(frozen=True, slots=True)
class HealthDetails:
    """`integrations`: the caller's own, by status; `disabled` ones apart."""

    status: Literal["ok", "impaired"]
    schema_version: int
    components: list[ComponentHealth]
    integrations: dict[str, int]
