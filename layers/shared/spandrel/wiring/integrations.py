"""Integrations and the minute's round, put together. What they need of foreign servers is made in `outbound`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from spandrel import wiring
from spandrel.wiring import outbound

if TYPE_CHECKING:
    from spandrel.health.details import Details
    from spandrel.health.models import Component
    from spandrel.health.round import Round
    from spandrel.integrations.call import CallTool
    from spandrel.integrations.check import Checks
    from spandrel.integrations.credentials import Credentials
    from spandrel.integrations.discover import Discover
    from spandrel.integrations.integrations import Integrations
    from spandrel.integrations.models import Target
    from spandrel.integrations.review import ToolReview
    from spandrel.integrations.watch import Watch
    from spandrel.knowledge.reconcile import Reconcile
    from spandrel.knowledge.stuck import FreeStuck


FEED_BATCH = 1000
"""Users who are told again, and connections that are forgotten, a round."""


@lru_cache(maxsize=1)
def credentials() -> Credentials:
    from spandrel.integrations.credentials import Credentials

    return Credentials(outbound.secret_box())


def _vet(target: Target) -> None:
    from spandrel.integrations.vet import vet_target

    vet_target(target, allow_loopback=wiring.settings().integrations.allow_loopback)


@lru_cache(maxsize=1)
def saved() -> Integrations:
    from spandrel.integrations.integrations import Integrations

    return Integrations(wiring.database(wiring.APP_ROLE), credentials(), _vet)


@lru_cache(maxsize=1)
def checks() -> Checks:
    from spandrel.integrations.check import Checks

    return Checks(wiring.database(wiring.APP_ROLE), outbound.prober(), credentials())


@lru_cache(maxsize=1)
def discover() -> Discover:
    from spandrel.integrations.discover import Discover

    return Discover(wiring.database(wiring.APP_ROLE), outbound.prober(), outbound.registry(), _vet)


@lru_cache(maxsize=1)
def tool_review() -> ToolReview:
    from spandrel.integrations.review import ToolReview

    return ToolReview(wiring.database(wiring.APP_ROLE))


@lru_cache(maxsize=1)
def watch() -> Watch:
    from spandrel.integrations.watch import Watch

    settings = wiring.settings().integrations
    return Watch(
        wiring.database(wiring.SYSTEM_ROLE), outbound.prober(), credentials(), concurrency=settings.check_concurrency
    )


@lru_cache(maxsize=1)
def free_stuck() -> FreeStuck:
    from spandrel.knowledge.stuck import FreeStuck

    return FreeStuck(wiring.database(wiring.SYSTEM_ROLE), wiring.objects(), wiring.queue())


@lru_cache(maxsize=1)
def reconcile() -> Reconcile:
    from spandrel.knowledge.reconcile import Reconcile

    return Reconcile(wiring.database(wiring.SYSTEM_ROLE), wiring.objects(), wiring.queue())


@lru_cache(maxsize=1)
def call_tool() -> CallTool:
    from spandrel.integrations.call import CallTool

    return CallTool(wiring.database(wiring.APP_ROLE), outbound.caller, credentials)


def _turns(_: float) -> Mapping[str, Any]:
    upkeep = wiring.session_upkeep()
    return asdict(upkeep.recover_turns()) | {"approvals_expired": upkeep.expire_approvals()}


def _events(_: float) -> Mapping[str, Any]:
    return asdict(wiring.repair_feed().run(FEED_BATCH)) | asdict(wiring.retention().run())


def _sessions(_: float) -> Mapping[str, Any]:
    return {"expired": wiring.session_upkeep().expire_sessions()}


def _documents(seconds: float) -> Mapping[str, Any]:
    return asdict(free_stuck().run(seconds))


def _integrations(seconds: float) -> Mapping[str, Any]:
    return asdict(watch().run(seconds))


def _reconciliation(seconds: float) -> Mapping[str, Any]:
    return asdict(reconcile().run(seconds))


@lru_cache(maxsize=1)
def components() -> tuple[Component, ...]:
    """In the order in which they are looked after: what somebody may be waiting for first, what takes long last."""
    from spandrel.health.models import Component

    return (
        Component("turns", _turns),
        Component("sessions", _sessions),
        Component("events", _events),
        Component("documents", _documents),
        Component("integrations", _integrations, share=8),
        Component("reconciliation", _reconciliation),
    )


@lru_cache(maxsize=1)
def health_round() -> Round:
    from spandrel.health.round import Round

    return Round(wiring.database(wiring.SYSTEM_ROLE), components())


@lru_cache(maxsize=1)
def health_details() -> Details:
    from spandrel.health.details import Details

    return Details(wiring.database(wiring.APP_ROLE), [component.name for component in components()])
