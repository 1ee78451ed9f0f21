"""Integrations on real Postgres with fakes around them, and the words that tests use to drive them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from spandrel.integrations.check import Checks
from spandrel.integrations.credentials import Credentials
from spandrel.integrations.discover import Discover
from spandrel.integrations.integrations import Integrations
from spandrel.integrations.models import Probe, Reason, RegistryServer
from spandrel.integrations.records import Integration, IntegrationTool, NewIntegration
from spandrel.integrations.review import ToolReview
from spandrel.integrations.vet import vet_target
from spandrel.integrations.watch import Watch, WatchReport
from tests.support.knowledge import ADA, KnowledgeBase
from tests.support.mcp_fakes import FakeProber, FakeRegistry, FakeSecretBox, failing, healthy, tool

URL = "https://mcp.example.com/mcp"
READ = tool("read_events", "Reads the calendar.")
WRITE = tool("write_event", "Writes to the calendar.")
GOOD, DOWN = healthy(READ), failing(Reason.REFUSED, "Nobody listens there.")


class Hub:
    def __init__(self, kb: KnowledgeBase) -> None:
        self.kb = kb
        self.prober, self.box = FakeProber({URL: GOOD}), FakeSecretBox()
        remotes = (("streamable_http", URL),)
        self.registry = FakeRegistry([RegistryServer("com.example/calendar", "Calendar", "Events.", "1.0", remotes)])  # type: ignore[arg-type]
        self.credentials = Credentials(self.box)
        self.saved = Integrations(kb.app, self.credentials, vet_target)
        self.checks = Checks(kb.app, self.prober, self.credentials, gap=0)
        self.discover = Discover(kb.app, self.prober, self.registry, vet_target)
        self.review = ToolReview(kb.app)

    def watch(self, **changes: Any) -> Watch:
        made: dict[str, Any] = {
            "database": self.kb.system,
            "prober": self.prober,
            "credentials": self.credentials,
            "sleep": self.sleep,
        }
        return Watch(**made | changes)

    def sleep(self, seconds: float) -> None:
        """Nobody waits: what is due later comes nearer instead."""
        self.kb.rows("UPDATE integrations SET next_check_at = next_check_at - make_interval(secs => %s)", seconds)

    # -- doing

    def add(self, name: str = "Work", user: str = ADA, **more: Any) -> Integration:
        return self.saved.create(user, NewIntegration(**({"name": name, "url": URL} | more)))

    def due(self) -> None:
        self.kb.rows("UPDATE integrations SET next_check_at = now() WHERE enabled")

    def round(self, *probes: Probe, seconds: float = 60, url: str = URL) -> WatchReport:
        """One round, in which everything is due; `probes` are what the server gives from now on."""
        self.prober.then(url, *probes)
        self.due()
        return self.watch().run(seconds)

    # -- looking

    def get(self, integration: Integration, user: str = ADA) -> Integration:
        return self.saved.get(user, integration.id)

    def row(self, integration_id: UUID) -> dict[str, Any]:
        [row] = self.kb.rows("SELECT * FROM integrations WHERE id = %s", integration_id)
        return row

    def tools(self, integration: Integration) -> dict[str, IntegrationTool]:
        return {each.name: each for each in self.review.page(ADA, integration.id, 100, None).items}

    def told(self, user: str = ADA) -> list[str]:
        """What was told since the last look."""
        rows = self.kb.rows("DELETE FROM events WHERE user_id = %s RETURNING seq, type", user)
        return [row["type"] for row in sorted(rows, key=lambda row: int(row["seq"]))]

    def seconds_until_due(self, integration: Integration) -> float:
        due = self.row(integration.id)["next_check_at"]
        return float((due - datetime.now(UTC)).total_seconds())
