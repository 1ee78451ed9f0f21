"""The doors of the live feed: tickets, connections, what clients send over them, and the feed as it is fetched."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from spandrel.wiring.providers import database, settings

if TYPE_CHECKING:
    from spandrel.events.actions import Actions
    from spandrel.events.history import History
    from spandrel.events.ports import Farewell
    from spandrel.events.retention import Retention
    from spandrel.events.tickets import Connections, Tickets
    from spandrel.sessions.turns import Turns

_APP, _SYSTEM = "spandrel_app", "spandrel_system"


@lru_cache(maxsize=1)
def tickets() -> Tickets:
    from spandrel.events.tickets import Tickets

    return Tickets(database(_APP), settings().realtime.websocket_url)


@lru_cache(maxsize=1)
def connections() -> Connections:
    from spandrel.events.tickets import Connections

    return Connections(database(_APP))


@lru_cache(maxsize=1)
def actions() -> Actions:
    from spandrel.events.actions import Actions

    return Actions(database(_APP), _turns, farewell)


@lru_cache(maxsize=1)
def history() -> History:
    from spandrel.events.history import History

    return History(database(_APP))


@lru_cache(maxsize=1)
def retention() -> Retention:
    from spandrel.events.retention import Retention

    return Retention(database(_SYSTEM), settings().realtime.event_days)


@lru_cache(maxsize=1)
def farewell() -> Farewell:
    from spandrel.adapters.farewell import ConnectionFarewell

    return ConnectionFarewell(settings().realtime)


def _turns() -> Turns:
    from spandrel import wiring

    return wiring.turns()
