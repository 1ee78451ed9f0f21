"""Tickets on the real database: good once, for a minute, kept by their hash."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from spandrel.database import Database
from spandrel.errors import TicketInvalidError
from spandrel.events.retention import Retention, RetentionReport
from spandrel.events.tickets import TICKET_SECONDS, Connections, Tickets, hash_of
from tests.support.knowledge import ADA, BOB, KnowledgeBase

URL = "wss://example.com/v1"


@pytest.fixture
def tickets(kb: KnowledgeBase) -> Tickets:
    return Tickets(kb.app, URL)


def test_a_ticket_is_random_short_lived_and_kept_by_its_hash(kb: KnowledgeBase, tickets: Tickets) -> None:
    made = [tickets.issue(ADA) for _ in range(3)]
    assert len({each.ticket for each in made}) == 3
    assert all(len(each.ticket) == 43 for each in made)  # 256 bits in base64
    assert made[0].url == URL
    left = made[0].expires_at - datetime.now(UTC)
    assert timedelta() < left <= timedelta(seconds=TICKET_SECONDS)
    rows = kb.rows("SELECT hash, realtime_tickets::text AS row FROM realtime_tickets")
    assert {row["hash"] for row in rows} == {hash_of(each.ticket) for each in made}
    assert not [row for row in rows for each in made if each.ticket in row["row"]]


def test_of_twenty_who_redeem_it_at_once_one_gets_in(kb: KnowledgeBase, tickets: Tickets) -> None:
    ticket = tickets.issue(ADA).ticket
    databases = [kb.connect("spandrel_app") for _ in range(20)]

    def redeem(number: int, database: Database) -> bool:
        try:
            assert Connections(database).open(f"c{number}", ticket) == ADA
        except TicketInvalidError:
            return False
        return True

    try:
        with ThreadPoolExecutor(20) as pool:
            opened = list(pool.map(redeem, range(20), databases))
    finally:
        for database in databases:
            database.close()
    assert opened.count(True) == 1
    assert kb.rows("SELECT id, user_id FROM connections") == [{"id": f"c{opened.index(True)}", "user_id": ADA}]
    assert kb.one("SELECT connections FROM event_counters WHERE user_id = %s", ADA) == 1


def test_a_ticket_past_its_time_is_used_up_by_the_try(kb: KnowledgeBase, tickets: Tickets) -> None:
    ticket = tickets.issue(ADA).ticket
    kb.rows("UPDATE realtime_tickets SET expires_at = now()")
    with pytest.raises(TicketInvalidError):
        Connections(kb.app).open("c", ticket)
    assert kb.one("SELECT count(*) FROM realtime_tickets") == 0
    assert kb.one("SELECT count(*) FROM connections") == 0


def test_tickets_that_nobody_used_go(kb: KnowledgeBase, tickets: Tickets) -> None:
    for user in (ADA, ADA, BOB):
        tickets.issue(user)
    kb.rows("UPDATE realtime_tickets SET expires_at = now() - interval '1 second'")
    good = hash_of(tickets.issue(ADA).ticket)  # takes Ada's own with it
    assert kb.one("SELECT count(*) FROM realtime_tickets") == 2
    assert Retention(kb.system, 30).run() == RetentionReport(events_forgotten=0, tickets_forgotten=1)
    assert kb.one("SELECT hash FROM realtime_tickets") == good


def test_the_application_s_role_sees_no_ticket_and_no_connection_of_another(
    kb: KnowledgeBase, tickets: Tickets
) -> None:
    Connections(kb.app).open("c", tickets.issue(ADA).ticket)
    tickets.issue(ADA)
    for table in (b"SELECT 1 FROM realtime_tickets", b"SELECT 1 FROM connections", b"SELECT 1 FROM events"):
        assert kb.app.run(table, user_id=BOB) == []
        assert kb.app.run(table) == []


def test_what_runs_with_its_owner_s_rights_is_for_our_roles_alone(kb: KnowledgeBase) -> None:
    found = kb.rows(
        "SELECT proname, proacl::text AS acl, proconfig FROM pg_proc"
        " WHERE prosecdef AND pronamespace = 'public'::regnamespace"
    )
    assert {row["proname"] for row in found} >= {"open_connection", "close_connection", "admit_message"}
    for row in found:
        assert re.search(r"[{,]=", row["acl"]) is None, row  # nothing for PUBLIC
        assert row["proconfig"] == ["search_path=public, pg_temp"], row
