"""Integrations as their owner keeps them: saved, changed, switched on and off, put into maintenance, deleted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from psycopg.types.json import Jsonb

from spandrel.database import Database, Transaction
from spandrel.errors import InvalidRequestError, NameTakenError, TooManyIntegrationsError
from spandrel.idempotency.key import IdempotencyKey
from spandrel.ids import uuid7
from spandrel.integrations import credentials, slugs, store
from spandrel.integrations.credentials import Credentials
from spandrel.integrations.models import NoAuth, Status, Target
from spandrel.integrations.records import Changes, Integration, NewIntegration
from spandrel.integrations.store import queries
from spandrel.pagination import Page, decode_cursor, paginate

MAX_INTEGRATIONS = 1000
LONGEST_MAINTENANCE = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Integrations:
    """`vet` refuses what a user may not have us call (see `vet.py`)."""

    database: Database
    credentials: Credentials
    vet: Callable[[Target], None]
    most: int = MAX_INTEGRATIONS

    def create(self, user_id: str, new: NewIntegration, key: IdempotencyKey | None = None) -> Integration:
        """Raises `AddressForbiddenError`, `NameTakenError`, `TooManyIntegrationsError`. A repeated `key` gives the one
        that it made, as it is now.
        """
        self.vet(Target(new.url, new.transport, new.auth, new.ca_certificate))
        integration_id = uuid7()
        row = {
            "id": integration_id,
            "user_id": user_id,
            "name": new.name,
            "url": new.url,
            "transport": new.transport,
            "auth": Jsonb(credentials.summary(new.auth)),
            "secret": self.credentials.seal(user_id, integration_id, new.auth),
            "ca_certificate": new.ca_certificate,
            "capabilities": Jsonb(new.capabilities),
            "check_interval_seconds": new.check_interval_seconds,
            "most": self.most,
        }
        with self.database.transaction(user_id) as tx:
            if key and (made := key.claim(tx)):
                return store.find_integration(tx, UUID(made["id"]))
            self._insert(tx, row, new)
            if key:
                key.store(tx, {"id": str(integration_id)})
            return store.find_integration(tx, integration_id)

    def _insert(self, tx: Transaction, row: dict[str, Any], new: NewIntegration) -> None:
        for slug in [new.slug] if new.slug else slugs.candidates(new.name):
            if tx.execute(queries.insert_integration, row | {"slug": slug}).fetchone() is not None:
                return
            counted = tx.execute(queries.count_integrations).fetchone()
            if counted is not None and counted["number"] >= self.most:
                raise TooManyIntegrationsError(f"You have {self.most} integrations, as many as are allowed.")
        raise NameTakenError(f'You have an integration with the slug "{slug}" already.')

    def page(
        self,
        user_id: str,
        limit: int,
        cursor: str | None,
        statuses: list[Status] | None = None,
        enabled: bool | None = None,
    ) -> Page[Integration]:
        parameters = {"statuses": statuses, "enabled": enabled, "before": decode_cursor(cursor), "limit": limit + 1}
        rows = self.database.run(queries.list_integrations, parameters, user_id=user_id)
        return paginate([store.integration(row) for row in rows], limit)

    def get(self, user_id: str, integration_id: UUID) -> Integration:
        with self.database.transaction(user_id) as tx:
            return store.find_integration(tx, integration_id)

    def change(self, user_id: str, integration_id: UUID, changes: Changes) -> Integration:
        """What may lead to another server makes the status unknown and a check due. Raises `AddressForbiddenError`."""
        auth = changes.auth
        parameters = {
            "integration_id": integration_id,
            "name": changes.name,
            "url": changes.url,
            "transport": changes.transport,
            "auth": None if auth is None else Jsonb(credentials.summary(auth)),
            "secret": None if auth is None else self.credentials.seal(user_id, integration_id, auth),
            "ca_certificate": changes.ca_certificate,
            "check_interval_seconds": changes.check_interval_seconds,
            "reach": changes.reach,
            "data": Jsonb({"changed": _named(changes), **({"status": "unknown"} if changes.reach else {})}),
        }
        with self.database.transaction(user_id) as tx:
            present = store.integration(store.lock(tx, integration_id))
            if changes.reach:  # held against what it is now: nobody else changes it any more
                self._vet_change(present, changes)
            tx.execute(queries.update_integration, parameters)
            return store.find_integration(tx, integration_id)

    def _vet_change(self, present: Integration, changes: Changes) -> None:
        url = changes.url or present.url
        if changes.auth is None and present.auth.secret_set_at and _origin(url) != _origin(present.url):
            # Who may change an address is not thereby one who may learn the secret.
            raise InvalidRequestError("The address leads to another server: give the credentials (`auth`) anew.")
        transport = changes.transport or present.transport
        self.vet(Target(url, transport, changes.auth or NoAuth(), changes.ca_certificate or None))

    def enable(self, user_id: str, integration_id: UUID) -> Integration:
        """Its first check, due now, decides its status anew."""
        return self._done(user_id, integration_id, queries.enable_integration)

    def disable(self, user_id: str, integration_id: UUID) -> Integration:
        """No check, and no tool of it is offered."""
        return self._done(user_id, integration_id, queries.disable_integration)

    def maintain(self, user_id: str, integration_id: UUID, starts: datetime, until: datetime) -> Integration:
        """Raises `InvalidRequestError` for a window that is none, or longer than thirty days."""
        if not timedelta(0) < until - starts <= LONGEST_MAINTENANCE:
            raise InvalidRequestError("`starts` must be before `until`, by thirty days at most.")
        if until <= datetime.now(until.tzinfo):
            raise InvalidRequestError("`until` has passed already.")
        data = {"starts": starts.isoformat(), "until": until.isoformat(), "changed": ["maintenance"]}
        parameters = {"starts": starts, "until": until, "data": Jsonb(data)}
        return self._done(user_id, integration_id, queries.set_maintenance, parameters)

    def end_maintenance(self, user_id: str, integration_id: UUID) -> Integration:
        """At once; without a window it changes nothing."""
        return self._done(user_id, integration_id, queries.end_maintenance)

    def delete(self, user_id: str, integration_id: UUID) -> None:
        rows = self.database.run(queries.delete_integration, {"integration_id": integration_id}, user_id=user_id)
        store.found(rows[0] if rows else None)

    def _done(
        self, user_id: str, integration_id: UUID, query: bytes, parameters: dict[str, Any] | None = None
    ) -> Integration:
        with self.database.transaction(user_id) as tx:
            store.lock(tx, integration_id)
            tx.execute(query, {"integration_id": integration_id, **(parameters or {})})
            return store.find_integration(tx, integration_id)


def _named(changes: Changes) -> list[str]:
    """Which settings were given; not what they are."""
    names = ("name", "url", "transport", "auth", "ca_certificate", "check_interval_seconds")
    return [name for name in names if getattr(changes, name) is not None]


def _origin(url: str) -> tuple[str, str | None, int | None]:
    """RFC 6454, section 4."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port
