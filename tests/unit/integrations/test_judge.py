"""What checks mean: thresholds, flapping, maintenance, certificates. No clock but the one that is passed in."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from spandrel.integrations.judge import FALL, FLAPS, RISE, STATUS_OF, Health, Verdict, judge, level, status_of
from spandrel.integrations.models import Certificate, Probe, Reason, TlsEvidence
from spandrel.integrations.schedule import CONFIRM, JITTER, LONGEST
from tests.support.mcp_fakes import failing, healthy

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
GOOD = healthy()
DOWN = failing(Reason.REFUSED)
WELL = Health(status="healthy", recent=("",))


def run(health: Health, *probes: Probe, now: datetime = NOON, **more: Any) -> tuple[Health, list[str]]:
    """The checks one after the other, a minute apart; what was told."""
    told: list[str] = []
    for number, probe in enumerate(probes):
        verdict = judge(health, probe, now + timedelta(minutes=number), **more)
        health = verdict.health
        told += [notice.type for notice in verdict.notices]
    return health, told


def verdict(health: Health, probe: Probe, **more: Any) -> Verdict:
    return judge(health, probe, more.pop("now", NOON), **more)


def test_every_reason_has_a_status_and_the_table_of_the_docs_is_this_one() -> None:
    assert STATUS_OF.keys() == set(Reason)
    text = (Path(__file__).parents[3] / "docs" / "integrations.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `(\w+)` \| `(\w+)` \| [^|]+ \|$", text, re.MULTILINE)
    assert {reason: status for reason, status in table if reason in set(Reason)} == STATUS_OF


@pytest.mark.parametrize("reason", Reason)
def test_a_first_check_decides_at_once(reason: Reason) -> None:
    found = verdict(Health(), failing(reason, "Look."))
    assert (found.health.status, found.health.reason, found.health.detail) == (STATUS_OF[reason], reason.value, "Look.")
    [notice] = found.notices
    assert notice.type == "integration.status_changed"
    assert notice.data == {
        "from": "unknown", "to": STATUS_OF[reason], "reason": reason.value, "previous_reason": None,
    }  # fmt: skip
    assert found.health.turning_points == ()


def test_one_that_is_well_stays_so_and_nothing_is_told() -> None:
    assert run(Health(), GOOD)[1] == ["integration.status_changed"]
    health, told = run(WELL, GOOD, GOOD)
    assert (health.status, told) == ("healthy", [])


def test_it_takes_three_failures_to_fall_of_whatever_kind() -> None:
    probes = [failing(Reason.DNS), failing(Reason.TIMEOUT), failing(Reason.REFUSED)]
    health, told = run(WELL, *probes[:2])
    assert (health.status, health.failures, told) == ("healthy", 2, [])
    health, told = run(WELL, *probes)
    assert (health.status, health.reason, told) == ("unreachable", "refused", ["integration.status_changed"])


def test_a_good_check_between_begins_the_count_anew() -> None:
    health, told = run(WELL, DOWN, DOWN, GOOD, DOWN, DOWN)
    assert (health.status, told) == ("healthy", [])


def test_it_takes_two_good_ones_to_rise() -> None:
    fallen, _ = run(WELL, DOWN, DOWN, DOWN)
    assert run(fallen, GOOD)[0].status == "unreachable"
    assert run(fallen, GOOD, DOWN, GOOD)[0].status == "unreachable"
    health, told = run(fallen, GOOD, GOOD)
    assert (health.status, health.reason, told) == ("healthy", None, ["integration.status_changed"])


def test_from_degraded_it_falls_whatever_the_reasons_are() -> None:
    degraded, _ = run(Health(), failing(Reason.TOOLS_ERROR))
    assert degraded.status == "degraded"
    health, _ = run(degraded, failing(Reason.DNS), failing(Reason.TLS), failing(Reason.AUTH_REQUIRED))
    assert (health.status, health.reason) == ("auth_required", "auth_required")


def test_half_way_up_is_a_rise_too() -> None:
    fallen, _ = run(WELL, DOWN, DOWN, DOWN)
    half = failing(Reason.RATE_LIMITED)
    assert run(fallen, half, half)[0].status == "degraded"
    assert run(fallen, half, GOOD)[0].status == "degraded"
    assert run(fallen, half, GOOD, GOOD)[0].status == "healthy"


def test_another_reason_of_the_same_weight_must_be_the_reason_for_certain() -> None:
    fallen, _ = run(WELL, DOWN, DOWN, DOWN)
    other = failing(Reason.TIMEOUT)
    assert run(fallen, other, DOWN, other, other)[0].reason == "refused"
    health, told = run(fallen, other, other, other)
    assert (health.reason, told) == ("timeout", ["integration.status_changed"])  # which the prompt of a session says
    assert len(health.turning_points) == 1  # the status is the same


def test_what_its_owner_asks_for_decides_at_once() -> None:
    health, told = run(WELL, DOWN, asked=True)
    assert (health.status, told) == ("unreachable", ["integration.status_changed"])
    assert run(health, GOOD, asked=True)[0].status == "healthy"


def test_the_detail_is_that_of_the_reason_which_stands() -> None:
    health = replace(WELL, detail="Fine.")
    assert run(health, DOWN)[0].detail == "Fine."
    assert run(health, healthy(detail="Better."))[0].detail == "Better."


# -- when next


def test_a_status_in_doubt_is_looked_at_again_soon() -> None:
    assert verdict(WELL, DOWN).next_check_seconds == CONFIRM
    assert verdict(WELL, GOOD).next_check_seconds == 60
    fallen, _ = run(WELL, DOWN, DOWN, DOWN)
    assert verdict(fallen, GOOD).next_check_seconds == CONFIRM


def test_what_is_long_down_is_looked_at_ever_less_often() -> None:
    health, delays = WELL, []
    for _ in range(FALL + 6):
        found = verdict(health, DOWN)
        health = found.health
        delays.append(found.next_check_seconds)
    assert delays == [CONFIRM, CONFIRM, 60, 120, 240, 480, 900, 900, 900]


def test_one_that_only_asks_for_patience_gets_it() -> None:
    assert verdict(WELL, failing(Reason.RATE_LIMITED, retry_after=120.0)).next_check_seconds == 120


# -- flapping


def test_a_status_that_flaps_is_told_once_and_needs_more_to_move() -> None:
    health, told = WELL, []
    while not health.flapping:
        health, news = run(health, *([DOWN] * FALL if health.status == "healthy" else [GOOD] * RISE))
        told += news
    assert told.count("integration.flapping") == 1
    assert told.count("integration.status_changed") == FLAPS
    steady, other = (GOOD, DOWN) if health.status == "healthy" else (DOWN, GOOD)
    patience = 2 * (FALL if other is DOWN else RISE)
    assert run(health, *[other] * (patience - 1))[0].status == health.status
    assert run(health, *[other] * patience)[0].status != health.status
    assert verdict(health, other).next_check_seconds >= 60  # nothing is hurried
    calm, told = run(health, steady, now=NOON + timedelta(hours=2))
    assert (calm.flapping, told) == (False, ["integration.flapping"])


# -- maintenance


def window(begins: int, ends: int) -> tuple[datetime, datetime]:
    return NOON + timedelta(minutes=begins), NOON + timedelta(minutes=ends)


def test_in_maintenance_the_status_is_held_and_what_was_seen_decides_after_it() -> None:
    health, told = run(replace(WELL, maintenance=window(0, 5)), *[DOWN] * 5)
    assert (health.status, health.in_maintenance, told) == ("healthy", True, ["integration.maintenance_started"])
    health, told = run(health, DOWN, now=NOON + timedelta(minutes=5))
    assert (health.status, health.in_maintenance) == ("unreachable", False)
    assert told == ["integration.maintenance_ended", "integration.status_changed"]


def test_a_server_that_is_well_again_when_maintenance_ends_was_never_away() -> None:
    health, told = run(replace(WELL, maintenance=window(0, 3)), DOWN, DOWN, DOWN, GOOD)
    assert (health.status, health.failures) == ("healthy", 0)
    assert told == ["integration.maintenance_started", "integration.maintenance_ended"]


def test_a_check_is_due_when_maintenance_begins_and_when_it_ends() -> None:
    assert verdict(replace(WELL, interval=900, maintenance=window(1, 5)), GOOD).next_check_seconds == 60
    assert verdict(replace(WELL, interval=900, maintenance=window(0, 5)), DOWN).next_check_seconds == 300
    assert verdict(replace(WELL, interval=900, maintenance=window(-5, -1)), GOOD).next_check_seconds == 900


# -- certificates


def tls(days: int, sha256: str = "aa") -> Probe:
    leaf = Certificate("CN=mcp.example.com", "CN=CA", NOON, NOON + timedelta(days=days), sha256)
    root = Certificate("CN=CA", "CN=CA", NOON, NOON + timedelta(days=4000), "root")
    return healthy(tls=TlsEvidence((leaf, root), days, "TLSv1.3"))


def test_each_notice_of_a_certificate_is_given_once() -> None:
    health, told = WELL, []
    for days in [30, 22, 21, 21, 20, 14, 13, 8, 7, 7, 2, 1, 1, 0, -1]:
        found = verdict(health, tls(days))
        health = found.health
        told += [(notice.type, notice.data["days_left"], notice.data["sha256"]) for notice in found.notices]
    assert told == [("integration.tls_expiring", days, "aa") for days in (21, 14, 7, 1)]


def test_one_that_is_late_gets_the_most_urgent_notice_alone() -> None:
    health, told = run(WELL, tls(5), tls(5))
    assert told == ["integration.tls_expiring"]
    assert health.tls_notices == {"aa": 7}


def test_certificates_shown_in_turn_are_told_of_once_each() -> None:
    _, told = run(WELL, tls(20, "aa"), tls(20, "bb"), tls(20, "aa"), tls(20, "bb"))
    assert told == ["integration.tls_expiring"] * 2


def test_only_so_many_certificates_are_remembered() -> None:
    health, _ = run(WELL, *[tls(20, f"c{number}") for number in range(20)])
    assert list(health.tls_notices) == [f"c{number}" for number in range(12, 20)]


# -- whatever comes

PROBES = st.sampled_from([GOOD, *map(failing, Reason)])


@given(st.lists(PROBES, min_size=1, max_size=60), st.floats(-1, 1))
def test_whatever_comes_each_change_is_told_once_and_no_status_is_without_its_reason(
    probes: list[Probe], spread: float
) -> None:
    health = Health()
    for number, probe in enumerate(probes):
        before = health
        found = judge(health, probe, NOON + timedelta(minutes=number), spread=spread)
        health = found.health
        changed = [each for each in found.notices if each.type == "integration.status_changed"]
        assert len(changed) == ((before.status, before.reason) != (health.status, health.reason))
        assert (health.reason is None) == (health.status == "healthy")
        assert health.status == status_of(health.reason or "")
        assert CONFIRM <= found.next_check_seconds <= LONGEST * (1 + JITTER)
        if level(health.status) < level(before.status) and before.status != "unknown":
            assert all(health.recent[:FALL])  # never on less than three
    if len(probes) >= 2 * FALL and len(set(map(id, probes[-2 * FALL :]))) == 1:
        assert health.reason == (probes[-1].reason.value if probes[-1].reason else None)  # what lasts is believed
