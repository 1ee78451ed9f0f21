"""Tool calls that wait for a person's word, and turns that wait with them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from spandrel.chat.models import Completion, TokenUsage, ToolCall
from spandrel.chat.tools import REFUSED
from spandrel.chat.turn import TurnOutcome
from spandrel.errors import ConflictError, NotFoundError
from spandrel.sessions.models import ToolApproval
from tests.integration.test_sessions import CALENDAR
from tests.support.chat_fakes import FakeTools
from tests.support.knowledge import ADA, BOB
from tests.support.studio import Studio

ASKED = Completion(
    "", (ToolCall("call_1", "work__read_events", {"day": "Monday"}),), TokenUsage(10, 0, 5), "tool_calls", "fake-model"
)


@pytest.fixture
def tools() -> FakeTools:
    return FakeTools()


@pytest.fixture
def waiting(studio: Studio, tools: FakeTools) -> tuple[UUID, UUID]:
    """A session and its turn, which asks for a call."""
    studio.integration(policy="ask")
    session = studio.begin(studio.template(CALENDAR), variables={"day": "Monday"})
    studio.model.then(ASKED)
    assert studio.work(tools=tools) == [TurnOutcome.WAITING]
    assert tools.calls == []
    assert session.turn is not None
    return session.id, session.turn.id


def pending(studio: Studio, user: str = ADA) -> list[ToolApproval]:
    return studio.approvals.page(user, 10, None, None, ["pending"]).items


def test_a_call_is_made_once_its_user_allows_it(studio: Studio, tools: FakeTools, waiting: tuple[UUID, UUID]) -> None:
    session_id, turn_id = waiting
    assert studio.turns.get(ADA, turn_id).status == "waiting"
    [approval] = pending(studio)
    assert (approval.integration, approval.tool, approval.arguments) == ("work", "read_events", {"day": "Monday"})
    told = studio.kb.event("approval.requested")
    assert told["data"]["arguments"] == {"day": "Monday"}
    assert told["subject"] == f"tool-approvals/{approval.id}"
    decided = studio.approvals.decide(ADA, approval.id, "approved", remember=False)
    assert decided.status == "approved"
    assert studio.turns.get(ADA, turn_id).status == "queued"
    studio.model.then("You are free.")
    assert studio.work(tools=tools) == [TurnOutcome.COMPLETED]
    assert tools.calls == [(ADA, "work", "read_events", {"day": "Monday"})]
    assert studio.said(session_id)[-1] == "You are free."
    assert studio.events()[-7:] == [
        "turn.started",
        "approval.requested",
        "turn.waiting",
        "approval.decided",
        "turn.queued",
        "turn.started",
        "turn.completed",
    ]


def test_both_halves_of_the_turn_are_charged_once(studio: Studio, waiting: tuple[UUID, UUID]) -> None:
    studio.approvals.decide(ADA, pending(studio)[0].id, "approved", remember=False)
    studio.model.then("Free.")
    studio.work(tools=FakeTools())
    assert studio.kb.one("SELECT count(*) FROM usage_ledger") == 2


def test_the_model_is_told_of_a_refusal(studio: Studio, tools: FakeTools, waiting: tuple[UUID, UUID]) -> None:
    studio.approvals.decide(ADA, pending(studio)[0].id, "denied", remember=False)
    studio.model.then("As you wish.")
    assert studio.work(tools=tools) == [TurnOutcome.COMPLETED]
    assert tools.calls == []
    assert studio.model.requests[-1].messages[-1].content == REFUSED["denied"]


def test_a_word_may_hold_for_every_later_call(studio: Studio, tools: FakeTools, waiting: tuple[UUID, UUID]) -> None:
    session_id, _ = waiting
    studio.approvals.decide(ADA, pending(studio)[0].id, "approved", remember=True)
    studio.model.then("Free.", ASKED, "Free again.")
    studio.work(tools=tools)
    studio.ask(session_id, "And now?")
    assert studio.work(tools=tools) == [TurnOutcome.COMPLETED]
    assert len(tools.calls) == 2


def test_a_refusal_may_hold_too(studio: Studio, tools: FakeTools, waiting: tuple[UUID, UUID]) -> None:
    session_id, _ = waiting
    studio.approvals.decide(ADA, pending(studio)[0].id, "denied", remember=True)
    studio.model.then("As you wish.")
    studio.work(tools=tools)
    assert studio.model.requests[-1].tools == ()
    assert studio.kb.event("session.capabilities_changed")["data"]["lost"] == ["calendar.read"]
    [match] = studio.session(session_id).capabilities_now or []
    assert (match.available, match.reason) == (False, "not_allowed")


def test_all_of_a_turns_calls_must_be_decided_before_it_goes_on(studio: Studio, tools: FakeTools) -> None:
    studio.integration(policy="ask")
    studio.begin(studio.template(CALENDAR), variables={"day": "Monday"})
    both = tuple(ToolCall(call, "work__read_events", {"day": call}) for call in ("one", "two"))
    studio.model.then(Completion("", both, TokenUsage(10, 0, 5), "tool_calls", "fake-model"))
    studio.work(tools=tools)
    first, second = sorted(pending(studio), key=lambda approval: str(approval.arguments))
    studio.approvals.decide(ADA, first.id, "approved", remember=False)
    assert studio.work(tools=tools) == []
    studio.approvals.decide(ADA, second.id, "denied", remember=False)
    studio.model.then("Half done.")
    assert studio.work(tools=tools) == [TurnOutcome.COMPLETED]
    assert [arguments for *_, arguments in tools.calls] == [{"day": "one"}]


def test_turns_behind_one_that_waits_keep_their_order(
    studio: Studio, tools: FakeTools, waiting: tuple[UUID, UUID]
) -> None:
    session_id, _ = waiting
    behind = studio.ask(session_id, "And Tuesday?")
    assert studio.work(tools=tools) == [TurnOutcome.WAITING]  # its message is used up
    studio.kb.rows("UPDATE turns SET queued_at = now() - interval '2 minutes'")
    assert studio.upkeep.recover_turns().requeued == 0
    studio.approvals.decide(ADA, pending(studio)[0].id, "approved", remember=False)
    studio.model.then("Free.", "Busy.")
    assert studio.work(tools=tools) == [TurnOutcome.COMPLETED, TurnOutcome.COMPLETED]
    assert studio.turns.get(ADA, behind.id).text == "Busy."


def test_a_cancelled_turn_leaves_no_question_open_and_lets_the_next_go_on(
    studio: Studio, tools: FakeTools, waiting: tuple[UUID, UUID]
) -> None:
    session_id, turn_id = waiting
    studio.ask(session_id, "And Tuesday?")
    studio.work(tools=tools)
    [approval] = pending(studio)
    assert studio.turns.cancel(ADA, turn_id).status == "cancelled"
    assert studio.approvals.get(ADA, approval.id).status == "cancelled"
    studio.model.then("Busy.")
    assert studio.work(tools=tools) == [TurnOutcome.COMPLETED]
    with pytest.raises(ConflictError):
        studio.approvals.decide(ADA, approval.id, "approved", remember=False)


def test_a_turn_that_is_tried_again_asks_again(studio: Studio, tools: FakeTools, waiting: tuple[UUID, UUID]) -> None:
    _, turn_id = waiting
    studio.turns.cancel(ADA, turn_id)
    studio.turns.retry(ADA, turn_id)
    assert studio.work(tools=tools) == [TurnOutcome.WAITING]
    studio.approvals.decide(ADA, pending(studio)[0].id, "approved", remember=False)
    studio.model.then("Free.")
    assert studio.work(tools=tools) == [TurnOutcome.COMPLETED]
    assert len(tools.calls) == 1


def test_a_session_that_ends_takes_its_questions_with_it(studio: Studio, waiting: tuple[UUID, UUID]) -> None:
    session_id, turn_id = waiting
    studio.sessions.move(ADA, session_id, "completed")
    assert studio.turns.get(ADA, turn_id).status == "cancelled"
    assert pending(studio) == []


def test_a_word_that_nobody_gives_is_not_waited_for_for_ever(
    studio: Studio, tools: FakeTools, waiting: tuple[UUID, UUID]
) -> None:
    studio.kb.rows("UPDATE tool_approvals SET expires_at = now() - interval '1 second'")
    assert studio.upkeep.expire_approvals() == 1
    studio.model.then("I was not allowed to look.")
    assert studio.work(tools=tools) == [TurnOutcome.COMPLETED]
    assert tools.calls == []
    assert studio.model.requests[-1].messages[-1].content == REFUSED["expired"]


def test_a_call_allowed_for_a_tool_that_went_away_is_not_made(
    studio: Studio, tools: FakeTools, waiting: tuple[UUID, UUID]
) -> None:
    studio.approvals.decide(ADA, pending(studio)[0].id, "approved", remember=False)
    studio.integration(policy="ask", status="unreachable")
    studio.model.then("It is gone.")
    assert studio.work(tools=tools) == [TurnOutcome.COMPLETED]
    assert tools.calls == []
    assert "there is no tool work__read_events now" in studio.model.requests[-1].messages[-1].content


def test_the_same_word_twice_is_one_and_another_a_conflict(studio: Studio, waiting: tuple[UUID, UUID]) -> None:
    [approval] = pending(studio)
    for _ in range(2):
        assert studio.approvals.decide(ADA, approval.id, "denied", remember=False).status == "denied"
    with pytest.raises(ConflictError):
        studio.approvals.decide(ADA, approval.id, "approved", remember=False)
    assert len(studio.queue.messages) == 1


def test_others_neither_see_nor_decide(studio: Studio, waiting: tuple[UUID, UUID]) -> None:
    [approval] = pending(studio)
    assert pending(studio, BOB) == []
    for user, approval_id in ((BOB, approval.id), (ADA, uuid4())):
        with pytest.raises(NotFoundError):
            studio.approvals.get(user, approval_id)
        with pytest.raises(NotFoundError):
            studio.approvals.decide(user, approval_id, "approved", remember=False)
    assert len(pending(studio)) == 1


def test_a_worker_that_lost_its_turn_asks_nobody(
    studio: Studio, tools: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio.integration(policy="ask")
    studio.begin(studio.template(CALENDAR), variables={"day": "Monday"})

    def lose(word: str) -> None:
        studio.kb.rows("UPDATE turns SET lease_owner = NULL")

    studio.model.during = lose
    studio.model.then(Completion("Let me", ASKED.tool_calls, ASKED.usage, "tool_calls", "fake-model"))
    assert studio.work(tools=tools) == [TurnOutcome.LOST]
    assert pending(studio) == []


def test_one_that_was_to_be_cancelled_does_not_wait(studio: Studio, tools: FakeTools) -> None:
    studio.integration(policy="ask")
    session = studio.begin(studio.template(CALENDAR), variables={"day": "Monday"})
    assert session.turn is not None
    turn_id = session.turn.id
    studio.model.during = lambda word: studio.turns.cancel(ADA, turn_id)
    studio.model.then(Completion("Let me", ASKED.tool_calls, ASKED.usage, "tool_calls", "fake-model"))
    studio.work(tools=tools)
    assert studio.turns.get(ADA, turn_id).status == "cancelled"
    assert pending(studio) == []


# -- what sessions can do


def capabilities_told(studio: Studio) -> list[dict[str, Any]]:
    return [
        row["data"]
        for row in studio.kb.rows("SELECT data FROM events WHERE type = 'session.capabilities_changed' ORDER BY seq")
    ]


def test_sessions_are_told_when_what_they_can_do_changes(studio: Studio) -> None:
    studio.integration()
    session = studio.begin(studio.template(CALENDAR), variables={"day": "Monday"})
    studio.integration()  # nothing has changed
    assert capabilities_told(studio) == []
    studio.kb.rows("UPDATE integrations SET status = 'unreachable', reason = 'refused'")
    studio.kb.rows("UPDATE integrations SET status = 'unreachable'")
    assert capabilities_told(studio) == [{"available": [], "gained": [], "lost": ["calendar.read"]}]
    assert (studio.session(session.id).capabilities_now or [])[0].reason == "refused"
    studio.kb.rows("UPDATE integrations SET status = 'healthy'")
    assert capabilities_told(studio)[1:] == [{"available": ["calendar.read"], "gained": ["calendar.read"], "lost": []}]
    studio.kb.rows("UPDATE integration_tools SET status = 'held'")
    studio.kb.rows("DELETE FROM integration_tools")
    assert [told["available"] for told in capabilities_told(studio)[2:]] == [[]]
    studio.integration()
    assert capabilities_told(studio)[-1]["gained"] == ["calendar.read"]


def test_sessions_that_ended_or_want_nothing_are_not_told(studio: Studio) -> None:
    studio.integration()
    ended = studio.begin(studio.template(CALENDAR), variables={"day": "Monday"})
    studio.sessions.move(ADA, ended.id, "completed")
    studio.begin()
    studio.kb.rows("UPDATE integrations SET enabled = false")
    assert capabilities_told(studio) == []


def test_what_was_told_is_forgotten_with_its_session(studio: Studio) -> None:
    studio.integration()
    session = studio.begin(studio.template(CALENDAR), variables={"day": "Monday"})
    studio.kb.rows("UPDATE integrations SET enabled = false")
    assert studio.kb.one("SELECT count(*) FROM session_capabilities") == 1
    studio.sessions.move(ADA, session.id, "completed")
    studio.kb.rows("UPDATE integrations SET enabled = true")
    assert studio.kb.one("SELECT count(*) FROM session_capabilities") == 0


def test_turns_and_integrations_that_change_at_once_wait_for_each_other_and_no_longer(studio: Studio) -> None:
    """Both write events of one user; neither order of their locks may be the other's reverse."""
    studio.integration()
    session = studio.begin(studio.template(CALENDAR), variables={"day": "Monday"})
    studio.model.then(*["Free."] * 31)
    studio.work(tools=FakeTools())

    def toggle() -> None:
        with psycopg.connect(studio.kb.url, autocommit=True) as connection:
            for number in range(60):
                status = ("unreachable", "healthy")[number % 2]
                connection.execute(
                    "WITH told AS (UPDATE integrations SET status = %s RETURNING user_id, id)"
                    " SELECT append_event(user_id, 'integration.status_changed', id::text, '{}') FROM told",
                    [status],
                )

    with ThreadPoolExecutor(1) as pool:
        toggling = pool.submit(toggle)
        for number in range(30):
            studio.say(session.id, f"{number}?", "Free.")
        toggling.result()
    assert studio.kb.one("SELECT count(*) = max(seq) FROM events WHERE user_id = %s", ADA)
