"""A check that its owner asks for: done at once, and it decides at once."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from spandrel.database import Database
from spandrel.errors import ConflictError, IntegrationDisabledError, SecretUnreadableError, TooOftenError
from spandrel.integrations import store
from spandrel.integrations.credentials import Credentials
from spandrel.integrations.findings import Finding, write
from spandrel.integrations.models import Probe, Reason, Target, Timings
from spandrel.integrations.ports import McpProber
from spandrel.integrations.records import Check
from spandrel.integrations.store import Row, queries
from spandrel.pagination import Page, decode_cursor, paginate

TIMEOUT = 20.0
"""Seconds, within the gateway's 29."""
GAP_SECONDS = 10
"""Between two checks of one integration that are asked for."""
ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Checks:
    database: Database
    prober: McpProber
    credentials: Credentials
    gap: float = GAP_SECONDS

    def run(self, user_id: str, integration_id: UUID) -> Check:
        """Looks now. Raises `TooOftenError`, `IntegrationDisabledError`; `ConflictError` if it is changed meanwhile."""
        row = self._begin(user_id, integration_id)
        probe = look(self.prober, self.credentials, row, TIMEOUT)
        for _ in range(ATTEMPTS):
            with self.database.transaction(user_id) as tx:
                if write(tx, [Finding(row, probe, asked=True)]):
                    return Check(
                        **store.found(tx.execute(queries.newest_check, {"integration_id": integration_id}).fetchone())
                    )
                now = store.find_row(tx, integration_id)
            if now["generation"] != row["generation"] or not now["enabled"]:
                break
            row = now  # another check was written meanwhile: this one is judged after it
        raise ConflictError("The integration was changed while it was checked. Check it again.")

    def _begin(self, user_id: str, integration_id: UUID) -> Row:
        parameters = {"integration_id": integration_id, "gap": self.gap}
        with self.database.transaction(user_id) as tx:
            asked = store.found(tx.execute(queries.ask_for_check, parameters).fetchone())
            row = store.find_row(tx, integration_id)
        if not asked["enabled"]:
            raise IntegrationDisabledError
        if not asked["allowed"]:
            raise TooOftenError(
                f"It was checked on request less than {self.gap:g} seconds ago.", retry_after=float(self.gap)
            )
        return row

    def page(self, user_id: str, integration_id: UUID, limit: int, cursor: str | None) -> Page[Check]:
        """Newest first."""
        parameters = {"integration_id": integration_id, "before": decode_cursor(cursor), "limit": limit + 1}
        with self.database.transaction(user_id) as tx:
            store.find_integration(tx, integration_id)
            return paginate(store.checks(tx.execute(queries.list_checks, parameters).fetchall()), limit)


def target(credentials: Credentials, row: Row) -> Target:
    """Raises `SecretUnreadableError`, `SecretsUnavailableError`."""
    auth = credentials.open(row["user_id"], row["id"], row["auth"], row["secret"])
    return Target(row["url"], row["transport"], auth, row["ca_certificate"])


def unreadable() -> Probe:
    return Probe(
        reason=Reason.SECRET_UNREADABLE, detail="The stored secret cannot be opened. Enter it again.", timings=Timings()
    )


def look(prober: McpProber, credentials: Credentials, row: Row, timeout: float) -> Probe:
    try:
        return prober.probe(target(credentials, row), timeout=timeout)
    except SecretUnreadableError:
        return unreadable()
