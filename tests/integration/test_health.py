"""A round of components and what is told of it, on real Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from spandrel.database import SCHEMA_VERSION
from spandrel.errors import StorageUnavailableError
from spandrel.health.details import Details
from spandrel.health.models import Component
from spandrel.health.round import Round
from tests.support.hub import Hub
from tests.support.knowledge import ADA, BOB, KnowledgeBase


def fails(error: Exception) -> Any:
    def work(_: float) -> dict[str, int]:
        raise error

    return work


class Clock:
    """Moves on by what each component takes."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_one_component_s_fault_stops_no_other(kb: KnowledgeBase) -> None:
    components = (
        Component("bucket", fails(StorageUnavailableError())),
        Component("bug", fails(ZeroDivisionError("secret words"))),
        Component("well", lambda _: {"done": 3}),
    )
    outcomes = Round(kb.system, components).run(10)
    assert [(each.name, each.ok, each.code, each.detail) for each in outcomes] == [
        ("bucket", False, "storage_unavailable", {}),
        ("bug", False, "internal_error", {}),
        ("well", True, None, {"done": 3}),
    ]
    rows = kb.rows("SELECT name, ok, code, detail FROM component_checks ORDER BY id")
    assert [tuple(row.values()) for row in rows] == [
        ("bucket", False, "storage_unavailable", {}),
        ("bug", False, "internal_error", {}),
        ("well", True, None, {"done": 3}),
    ]


def test_each_has_its_share_of_what_is_left(kb: KnowledgeBase) -> None:
    clock, allowed = Clock(), []

    def takes(seconds: float) -> Any:
        def work(given: float) -> dict[str, int]:
            allowed.append(round(given, 3))
            clock.now += seconds
            return {}

        return work

    components = (Component("a", takes(1)), Component("b", takes(90), share=3), Component("c", takes(0)))
    outcomes = Round(kb.system, components, clock).run(50)
    assert allowed == [10.0, 36.75, 0.0]
    assert [each.duration_ms for each in outcomes] == [1000.0, 90000.0, 0.0]


def test_rows_are_written_as_components_end_and_old_ones_forgotten(kb: KnowledgeBase) -> None:
    kb.rows(
        "INSERT INTO component_checks (name, ok, detail, duration_ms, checked_at)"
        " VALUES ('a', true, '{}', 1, now() - interval '8 days'), ('a', true, '{}', 1, now() - interval '6 days')"
    )
    seen: list[int] = []

    def look(_: float) -> dict[str, int]:
        seen.append(kb.one("SELECT count(*) FROM component_checks"))
        return {}

    Round(kb.system, (Component("a", look), Component("b", look))).run(1)
    assert seen == [2, 3]
    assert kb.one("SELECT count(*) FROM component_checks") == 3


def test_without_a_database_the_round_still_ends(kb: KnowledgeBase) -> None:
    class Gone:
        def transaction(self) -> Iterator[None]:
            from spandrel.errors import DatabaseUnavailableError

            raise DatabaseUnavailableError

    [outcome] = Round(Gone(), (Component("a", lambda _: {}),)).run(1)  # type: ignore[arg-type]
    assert outcome.ok


def test_details_tell_the_newest_evidence_with_its_age(kb: KnowledgeBase) -> None:
    details = Details(kb.app, ["well", "ill", "stale", "never"])
    kb.rows(
        "INSERT INTO component_checks (name, ok, detail, code, duration_ms, checked_at) VALUES"
        " ('well', false, '{}', 'x', 1, now() - interval '2 minutes'),"
        " ('well', true, '{\"done\": 1}', NULL, 2, now() - interval '1 minute'),"
        " ('ill', false, '{}', 'storage_unavailable', 3, now()),"
        " ('stale', true, '{}', NULL, 4, now() - interval '4 minutes')"
    )
    found = details.run(ADA)
    assert [(each.name, each.state, each.code) for each in found.components] == [
        ("well", "ok", None),
        ("ill", "failed", "storage_unavailable"),
        ("stale", "stale", None),
        ("never", "never", None),
    ]
    assert found.components[0].detail == {"done": 1}
    assert 60 <= (found.components[0].age_seconds or 0) < 120
    assert (found.status, found.schema_version) == ("impaired", SCHEMA_VERSION)
    assert Details(kb.app, ["well"]).run(ADA).status == "ok"


def test_integrations_are_counted_for_their_owner_alone(kb: KnowledgeBase) -> None:
    hub = Hub(kb)
    off, well = hub.add("a"), hub.add("b")
    hub.add("c")
    hub.add("d", user=BOB)
    hub.saved.disable(ADA, off.id)
    hub.checks.run(ADA, well.id)
    assert Details(kb.app, []).run(ADA).integrations == {"disabled": 1, "healthy": 1, "unknown": 1}
    assert Details(kb.app, []).run(BOB).integrations == {"unknown": 1}


@pytest.mark.parametrize("statement", ["INSERT INTO component_checks DEFAULT VALUES", "DELETE FROM component_checks"])
def test_a_user_s_role_writes_no_evidence(kb: KnowledgeBase, statement: str) -> None:
    from psycopg.errors import InsufficientPrivilege

    with pytest.raises(InsufficientPrivilege):
        kb.app.run(statement.encode(), user_id=ADA)
