"""What is done while another transaction holds what it needs: it waits, and then sees what there is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

import psycopg
import pytest

from spandrel.errors import ConflictError, IllegalMoveError, NotFoundError
from spandrel.ids import uuid7
from spandrel.prompts.prepare import Prepare, User
from spandrel.sessions.models import Session
from spandrel.usage.budgets import Budgets
from tests.support.hub import Hub
from tests.support.knowledge import ADA, BOB, KnowledgeBase
from tests.support.studio import Studio

T = TypeVar("T")
TOLD = "SELECT append_event('ada', 'session.active', 'sessions/x', '{}')"
"""The event counter, which every transaction locks last."""
TWO_NAMES = '---\ninput:\n  schema:\n    one: string\n    two: string\n---\n{{role "system"}}\n{{one}} and {{two}}.'


def meanwhile(kb: KnowledgeBase, first: str, work: Callable[[], T], *then: str) -> T:
    """What `work` comes to, begun after `first` of another transaction, which does `then` and commits once it waits."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with psycopg.connect(kb.url) as other, ThreadPoolExecutor(1) as pool:
        other.execute(first)
        future = pool.submit(work)
        deadline = time.monotonic() + 20
        while not future.done() and kb.one(waiting) == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        for statement in then:
            other.execute(statement)
        other.commit()
        return future.result(20)


# -- a conversation is deleted


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (  # a turn asked, completed or ended
            "SELECT FROM agent_sessions FOR NO KEY UPDATE",
            ["UPDATE conversations SET last_activity_at = now()", TOLD],
        ),
        ("UPDATE turns SET cancel_requested = true", [TOLD]),  # a turn cancelled
    ],
)
def test_a_conversation_is_deleted_while_somebody_is_at_work_in_it(
    studio: Studio, first: str, then: Sequence[str]
) -> None:
    session = studio.begin()
    studio.ask(session.id, "One?")
    meanwhile(studio.kb, first, lambda: studio.conversations.delete(ADA, session.conversation_id), *then)
    assert studio.kb.one("SELECT count(*) FROM conversations") == 0
    assert studio.kb.events()[-1] == "conversation.deleted"


@pytest.mark.parametrize("use_case", ["fork", "restore", "regenerate", "ask", "put a budget"])
def test_what_is_done_in_a_conversation_as_it_is_deleted_finds_nothing(studio: Studio, use_case: str) -> None:
    session = studio.begin()
    turn = studio.say(session.id, "One?", "First.")
    done: dict[str, Callable[[], object]] = {
        "fork": lambda: studio.checkpoints.fork(ADA, session.id, 1),
        "restore": lambda: studio.checkpoints.restore(ADA, session.id, 0),
        "regenerate": lambda: studio.turns.regenerate(ADA, turn.id),
        "ask": lambda: studio.ask(session.id, "Two?"),
        "put a budget": lambda: Budgets(studio.kb.app).put(ADA, "total", session.id, None, Decimal(5)),
    }
    with pytest.raises(NotFoundError):
        meanwhile(studio.kb, "DELETE FROM conversations", done[use_case])


def test_a_conversation_is_deleted_as_a_session_is_forked_in_it_and_asked(studio: Studio) -> None:
    """The deletion has looked for the sessions when another comes; whoever asks in that one goes before it."""
    kb, session, forked = studio.kb, studio.begin(), uuid7()
    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(kb.url) as at_work,
        psycopg.connect(kb.url) as asking,
    ):
        at_work.execute("SELECT FROM agent_sessions FOR NO KEY UPDATE")
        deleting = pool.submit(studio.conversations.delete, ADA, session.conversation_id)
        until_blocked_by(kb, at_work)
        kb.rows("SELECT fork_session(%s, 0, %s, %s)", session.id, forked, uuid7())
        asking.execute("SELECT FROM agent_sessions WHERE id = %s FOR NO KEY UPDATE", [forked])
        at_work.commit()
        until_blocked_by(kb, asking)
        asking.execute("SELECT enqueue_turn(%s, uuidv7(), 'message', NULL, 'One?')", [forked])
        asking.commit()
        deleting.result(20)
    assert [kb.one(f"SELECT count(*) FROM {table}") for table in ("conversations", "agent_sessions", "turns")] == [
        0
    ] * 3
    assert kb.events()[-2:] == ["turn.queued", "conversation.deleted"]


def until_blocked_by(kb: KnowledgeBase, holder: psycopg.Connection[Any]) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"
    deadline = time.monotonic() + 20
    while kb.one(waiting, holder.info.backend_pid) == 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)


# -- a conversation is changed


def test_a_question_is_asked_again_while_its_conversation_is_renamed(studio: Studio) -> None:
    session = studio.begin()
    turn = studio.say(session.id, "One?", "First.")
    renamed = "UPDATE conversations SET title = 'Another'"
    again = meanwhile(studio.kb, renamed, lambda: studio.turns.regenerate(ADA, turn.id), TOLD)
    assert (again.number, again.status) == (2, "queued")


# -- a session ends


def test_a_turn_is_not_put_in_line_again_in_a_session_that_ends_meanwhile(studio: Studio) -> None:
    session = studio.begin()
    turn = studio.ask(session.id, "One?")
    studio.turns.cancel(ADA, turn.id)
    ended = f"SELECT move_session('{session.id}', 'completed', NULL)"
    with pytest.raises(ConflictError):
        meanwhile(studio.kb, ended, lambda: studio.turns.retry(ADA, turn.id))
    assert studio.turns.get(ADA, turn.id).status == "cancelled"


# -- variables


def interrupted(studio: Studio, session_id: UUID, variables: dict[str, str], between: dict[str, str]) -> Session:
    """Gives `variables`; somebody else gives those `between` while the prompt is composed."""
    others = [between]

    def today() -> datetime:
        if others:
            studio.sessions.give_variables(User(ADA), session_id, others.pop())
        return datetime.now(UTC)

    prepare = Prepare(studio.prepare.database, studio.prepare.search, today)
    return replace(studio.sessions, prepare=prepare).give_variables(User(ADA), session_id, variables)


def test_variables_given_at_once_are_all_kept(studio: Studio) -> None:
    session = studio.begin(studio.template(TWO_NAMES))
    given = interrupted(studio, session.id, {"one": "Ada"}, {"two": "Bob"})
    assert {name: bound.value for name, bound in given.variables.items()} == {"one": "Ada", "two": "Bob"}
    assert (given.status, given.missing) == ("active", [])


def test_variables_that_come_too_late_are_not_passed_over_in_silence(studio: Studio) -> None:
    session = studio.begin(studio.template(TWO_NAMES))
    with pytest.raises(IllegalMoveError):
        interrupted(studio, session.id, {"one": "Eve"}, {"one": "Ada", "two": "Bob"})
    assert studio.session(session.id).variables["one"].value == "Ada"


# -- upkeep


@pytest.mark.parametrize("use_case", ["expire sessions", "recover turns", "expire approvals"])
def test_upkeep_for_several_users_takes_their_feeds_in_one_order(studio: Studio, use_case: str) -> None:
    """Bob's is due first; who has Ada's feed and then takes Bob's is not in the way."""
    kb = studio.kb
    for user, seconds in ((ADA, 10), (BOB, 20)):
        session_id = studio.begin(studio.template(user=user), user=user, variables={"name": "x"}).id
        turn = studio.ask(session_id, "?", user)
        due = f"now() - interval '{seconds} seconds'"
        if use_case == "expire sessions":
            studio.turns.cancel(user, turn.id)
            kb.rows(f"UPDATE agent_sessions SET expires_at = {due} WHERE id = %s", session_id)
        elif use_case == "recover turns":
            kb.rows(f"UPDATE turns SET status = 'running', attempt = 1, lease_until = {due} WHERE id = %s", turn.id)
        else:
            kb.rows(
                "INSERT INTO tool_approvals (id, user_id, session_id, turn_id, call_id, integration, tool, arguments,"
                f" expires_at) VALUES (uuidv7(), %s, %s, %s, 'c', 'i', 't', '{{}}', {due})",
                *(user, session_id, turn.id),
            )
    done: dict[str, Callable[[], object]] = {
        "expire sessions": studio.upkeep.expire_sessions,
        "recover turns": studio.upkeep.recover_turns,
        "expire approvals": studio.upkeep.expire_approvals,
    }
    meanwhile(kb, TOLD, done[use_case], TOLD.replace("'ada'", "'bob'"))
    told = [row["user_id"] for row in kb.rows("SELECT user_id FROM events ORDER BY created_at DESC, user_id LIMIT 2")]
    assert told == [ADA, BOB]


# -- an integration is deleted


def test_an_integration_is_deleted_while_somebody_decides_on_a_tool_of_its_own(hub: Hub) -> None:
    made = hub.add()
    hub.round()
    tool = "SELECT FROM integration_tools FOR UPDATE"
    meanwhile(hub.kb, tool, lambda: hub.saved.delete(ADA, made.id), TOLD)
    assert hub.kb.one("SELECT count(*) FROM integration_tools") == 0
    assert hub.kb.events()[-1] == "integration.deleted"
