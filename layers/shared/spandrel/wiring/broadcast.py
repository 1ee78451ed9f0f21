"""The live feed's outgoing side: the pump, its repair, and the pieces of answers."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from spandrel.wiring.providers import database, news, settings

if TYPE_CHECKING:
    from spandrel.events.broadcast.pump import Pump
    from spandrel.events.broadcast.repair import RepairFeed
    from spandrel.events.broadcast.stream import DeltaStream
    from spandrel.events.ports import Gateway

_ROLE = "spandrel_system"  # a pump serves whoever has news


def gateway() -> Gateway:
    """A new one a loop: its connections belong to it."""
    from spandrel.adapters.connections import ApiGatewayConnections

    return ApiGatewayConnections(settings().realtime)


@lru_cache(maxsize=1)
def pump() -> Pump:
    import asyncio

    from spandrel.events.broadcast.pump import Pump

    # A loop of its own, so that nobody's current one is replaced.
    return Pump(database(_ROLE), gateway(), news(), asyncio.Runner(loop_factory=asyncio.new_event_loop))


@lru_cache(maxsize=1)
def repair_feed() -> RepairFeed:
    from spandrel.events.broadcast.repair import RepairFeed

    return RepairFeed(database(_ROLE), news())


@lru_cache(maxsize=1)
def delta_stream() -> DeltaStream | None:
    """None: there is no feed to stream to."""
    from spandrel.events.broadcast.stream import DeltaStream

    return DeltaStream(gateway) if settings().realtime.connections_url else None
