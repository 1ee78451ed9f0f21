"""The minute's round through its handler."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from functions.health_check.handler import handler
from spandrel import wiring
from spandrel.errors import StorageUnavailableError
from tests.support.api import call
from tests.support.events import Context
from tests.support.hub import URL, Hub
from tests.support.knowledge import KnowledgeBase
from tests.support.studio import Studio

SAMPLE = Path(__file__).parents[3] / "events" / "health_check.minute.json"
NAMES = ["turns", "sessions", "events", "documents", "integrations", "reconciliation"]


def minute(**more: Any) -> dict[str, bool]:
    found: dict[str, bool] = handler(json.loads(SAMPLE.read_text()), Context(**more))
    return found


def latest(kb: KnowledgeBase) -> dict[str, dict[str, Any]]:
    rows = kb.rows("SELECT DISTINCT ON (name) name, ok, code, detail FROM component_checks ORDER BY name, id DESC")
    return {row["name"]: row for row in rows}


def test_every_component_does_its_work_and_leaves_its_evidence(
    wired: KnowledgeBase, studio: Studio, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    document = wired.announce(wired.collection())
    wired.rows("UPDATE documents SET status = 'parsing', lease_until = now() - interval '1 second'")
    active, idle = studio.begin(), studio.begin()
    studio.ask(active.id, "One?")
    wired.rows("UPDATE turns SET queued_at = now() - interval '2 minutes'")
    wired.rows("UPDATE agent_sessions SET expires_at = now() - interval '1 second' WHERE id = %s", idle.id)
    integration = hub.add()
    assert minute() == dict.fromkeys(NAMES, True)
    assert wired.document(document).status == "queued"
    assert studio.session(idle.id).status == "expired"
    assert hub.get(integration).status == "healthy"
    found = latest(wired)
    assert found["turns"]["detail"] == {"requeued": 1, "failed": 0, "approvals_expired": 0}
    assert found["sessions"]["detail"] == {"expired": 1}
    assert found["documents"]["detail"] == {"requeued": 1, "deleted": 0}
    assert found["integrations"]["detail"]["checked"] == 1
    assert found["reconciliation"]["detail"]["whole"] == 1
    published = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    metrics = {name: value for each in published for name, value in each.items()}
    assert metrics["HealthCheck.integrations.checked"] == [1.0]
    assert metrics["HealthCheck.failed"] == [0.0]
    assert metrics["HealthCheck.documents.failed"] == [0.0]
    assert "HealthCheck.turns.duration" in metrics


def test_a_component_that_cannot_do_its_work_stops_no_other(
    wired: KnowledgeBase, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    integration = hub.add()
    wired.objects.broken = True

    def away() -> Any:
        raise StorageUnavailableError

    monkeypatch.setattr(wiring, "session_upkeep", away)  # not even made
    found = minute()
    assert found == {
        "turns": False, "sessions": False, "events": True, "documents": True, "integrations": True,
        "reconciliation": False,
    }  # fmt: skip
    assert hub.get(integration).status == "healthy"
    assert latest(wired)["reconciliation"]["code"] == "storage_unavailable"
    assert '"HealthCheck.failed":[3.0]' in capsys.readouterr().out.replace(" ", "")


def test_with_hardly_any_time_left_it_still_ends_and_what_it_did_not_do_is_due(wired: KnowledgeBase, hub: Hub) -> None:
    integration = hub.add()
    assert minute(seconds=11) == dict.fromkeys(NAMES, True)
    assert latest(wired)["integrations"]["detail"]["skipped"] == 1
    assert minute()["integrations"]
    assert hub.get(integration).status == "healthy"


def test_details_are_for_those_who_are_signed_in(wired: KnowledgeBase, hub: Hub) -> None:
    before = call("GET", "/v1/health/details").json
    assert [(each["name"], each["state"]) for each in before["components"]] == [(name, "never") for name in NAMES]
    assert before["status"] == "impaired"
    hub.add()
    minute()
    after = call("GET", "/v1/health/details").json
    assert {each["state"] for each in after["components"]} == {"ok"}
    assert (after["status"], after["integrations"]) == ("ok", {"healthy": 1})
    assert call("GET", "/v1/health/details", user="bob").json["integrations"] == {}
    assert call("GET", "/v1/health/details", user=None).status == 401


def test_what_breaks_is_gone_from_the_next_turn_and_back_when_it_is_mended(
    wired: KnowledgeBase, studio: Studio, hub: Hub
) -> None:
    from tests.support.hub import DOWN, GOOD

    hub.add(capabilities={"read_events": ["calendar.read"]})
    source = '---\nspandrel.capabilities: [calendar.read]\n---\n{{role "system"}}Help.'
    template = studio.template(source)

    def offered() -> list[str]:
        hub.due()
        minute()
        return [tool.name for tool in studio.generate(template).tools]

    assert offered() == ["work__read_events"]
    hub.prober.then(URL, DOWN, DOWN, DOWN)
    hub.kb.rows("UPDATE integrations SET recent = '{refused,refused}'")  # two more were before it
    assert offered() == []
    hub.kb.rows("UPDATE integrations SET recent = '{\"\"}'")
    hub.prober.script.clear()
    hub.prober.then(URL, GOOD)
    assert offered() == ["work__read_events"]
