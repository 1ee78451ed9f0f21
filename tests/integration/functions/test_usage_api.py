"""Usage and budgets as their clients see them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from spandrel.usage.models import ModelCall
from spandrel.usage.store import record
from tests.support.api import call, validate
from tests.support.knowledge import ADA, KnowledgeBase
from tests.support.studio import Studio

SESSION = uuid4()


@pytest.fixture(autouse=True)
def spent(wired: KnowledgeBase) -> None:
    spend(wired, "0.0000001", "tiny")
    spend(wired, "12.5", "dear", SESSION)
    spend(wired, "0", "unknown", SESSION, price=None)


def spend(kb: KnowledgeBase, cost: str, model: str, session: UUID | None = None, price: str | None = "v") -> None:
    with kb.system.transaction() as tx:
        record(tx, ADA, ModelCall("turn", model, price, 100, 40, 20, Decimal(cost)), session)


def usage(**query: Any) -> dict[str, Any]:
    answer = call("GET", "/v1/usage", query=query)
    assert answer.status == 200, answer.text
    validate("get_usage", answer)
    found: dict[str, Any] = answer.json
    return found


def test_amounts_are_plain_decimal_text() -> None:
    found = usage(group_by="model")
    assert [(item["key"], item["cost"]) for item in found["items"]] == [
        ("dear", "12.5"),
        ("tiny", "0.0000001"),
        ("unknown", "0"),
    ]
    assert found["total"] == {
        "key": None,
        "calls": 3,
        "unpriced_calls": 1,
        "input_tokens": 300,
        "cached_tokens": 120,
        "output_tokens": 60,
        "cost": "12.5000001",
    }
    assert found["complete"] is True


def test_usage_of_a_session_and_of_a_stretch_of_time() -> None:
    assert usage(group_by="session", session_id=SESSION)["items"][0]["key"] == str(SESSION)
    now = datetime.now(UTC)
    stretch = {"from": (now - timedelta(days=9)).isoformat(), "to": (now - timedelta(days=8)).isoformat()}
    found = usage(**stretch)
    assert (found["items"], found["total"]["calls"]) == ([], 0)
    assert datetime.fromisoformat(found["to"]) - datetime.fromisoformat(found["from"]) == timedelta(days=1)


def test_more_groups_than_asked_for_are_told() -> None:
    found = usage(group_by="model", limit=1)
    assert ([item["key"] for item in found["items"]], found["complete"]) == (["dear"], False)


def test_a_budget_is_put_listed_replaced_and_removed() -> None:
    made = call("PUT", "/v1/budgets/total", body={"warn_at": "10.00", "stop_at": "20"})
    validate("put_budget", made)
    budget = made.json
    assert (budget["warn_at"], budget["stop_at"], budget["spent"]) == ("10", "20", "12.5000001")
    assert (budget["period"], budget["session_id"], budget["exhausted"]) == ("total", None, False)
    again = call("PUT", "/v1/budgets/total", body={"stop_at": "5"}).json
    assert (again["id"], again["warn_at"], again["exhausted"]) == (budget["id"], None, True)
    assert call("GET", "/v1/budgets").json["items"] == [again]
    assert call("DELETE", "/v1/budgets/total").status == 204
    assert call("GET", "/v1/budgets").json["items"] == []


def test_a_session_s_budget_is_its_own(studio: Studio) -> None:
    session_id = studio.begin().id
    studio.say(session_id, "Hello!", "Good day.")
    made = call("PUT", f"/v1/sessions/{session_id}/budget", body={"stop_at": "0.00001"})
    validate("put_session_budget", made)
    assert (made.json["session_id"], made.json["period"], made.json["exhausted"]) == (str(session_id), "total", True)
    assert call("DELETE", "/v1/budgets/total").status == 404
    assert call("DELETE", f"/v1/sessions/{session_id}/budget").status == 204
    assert call("PUT", f"/v1/sessions/{SESSION}/budget", body={"stop_at": "1"}).status == 404


def test_budgets_are_paged() -> None:
    for period in ("day", "month", "total"):
        call("PUT", f"/v1/budgets/{period}", body={"stop_at": "1"})
    first = call("GET", "/v1/budgets", query={"limit": 2}).json
    rest = call("GET", "/v1/budgets", query={"limit": 2, "cursor": first["next_cursor"]}).json
    assert [item["period"] for item in first["items"] + rest["items"]] == ["total", "month", "day"]
    assert rest["next_cursor"] is None
