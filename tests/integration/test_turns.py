"""A turn from its question to its end, whatever happens in between."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from spandrel.chat.histories import Histories
from spandrel.chat.models import Completion, TokenUsage, ToolCall
from spandrel.chat.store import TurnStore
from spandrel.chat.tools import GUARD
from spandrel.chat.turn import MAX_STEPS, TurnOutcome
from spandrel.chat.work import NewMessage, Work
from spandrel.database import Database
from spandrel.errors import (
    ConflictError,
    ContextTooLongError,
    IllegalMoveError,
    MessageIdReusedError,
    ModelAnswerInvalidError,
    ModelRateLimitedError,
    ModelRejectedError,
    ModelUnavailableError,
    NotFoundError,
)
from spandrel.prompts.prepare import User
from spandrel.sessions.messages import TurnTask
from tests.integration.test_sessions import CALENDAR, LIBRARIAN
from tests.support.chat_fakes import BrokenOff, FakeTools as Tools, WorkerDiedError
from tests.support.flights import FlightCounter
from tests.support.knowledge import ADA, BOB
from tests.support.postgres import Cluster, settings_for
from tests.support.studio import Studio


@pytest.fixture
def session_id(studio: Studio) -> UUID:
    return studio.begin().id


def asked_for(studio: Studio) -> list[tuple[str, str]]:
    """Role and text of what the model was asked last."""
    return [(message.role, message.content) for message in studio.model.requests[-1].messages]


def calls(name: str, **arguments: Any) -> Completion:
    return Completion("", (ToolCall("call_1", name, arguments),), TokenUsage(10, 0, 5), "tool_calls", "fake-model")


# -- the whole of it


def test_a_turn_is_answered_stored_and_told(studio: Studio, session_id: UUID) -> None:
    turn = studio.say(session_id, "Hello!", "Good day, Ada.")
    assert (turn.status, turn.text, turn.attempt, turn.input) == ("completed", "Good day, Ada.", 1, None)
    assert [(message.role, message.content) for message in studio.messages(session_id)] == [
        ("user", "Hello!"),
        ("assistant", "Good day, Ada."),
    ]
    assert studio.events() == ["session.created", "turn.queued", "turn.started", "turn.completed"]
    session = studio.session(session_id)
    assert (session.ordinal, session.checkpoints, session.turns) == (2, 1, 1)


def test_the_model_reads_instructions_history_and_question_in_this_order(studio: Studio, session_id: UUID) -> None:
    studio.say(session_id, "One?", "First.")
    studio.say(session_id, "Two?", "Second.")
    roles_and_texts = asked_for(studio)
    assert roles_and_texts[0][0] == "system"
    assert roles_and_texts[1:] == [("user", "One?"), ("assistant", "First."), ("user", "Two?")]


def test_a_turn_that_the_template_began_asks_what_the_template_says(studio: Studio) -> None:
    studio.integration()
    answer = studio.begin(studio.template(CALENDAR), variables={"day": "Monday"})
    studio.model.then("A meeting.")
    assert studio.work() == [TurnOutcome.COMPLETED]
    assert asked_for(studio)[-1] == ("user", "What is on Monday?")
    assert studio.said(answer.id) == ["A meeting."]
    studio.say(answer.id, "Where?", "Upstairs.")
    assert [text for _, text in asked_for(studio)[1:]] == ["What is on Monday?", "A meeting.", "Where?"]


def test_passages_are_offered_late_and_citations_kept(studio: Studio) -> None:
    studio.kb.add(studio.kb.collection(), "# Sea\n\nWhales sing in the deep.")
    session = studio.begin(studio.template(LIBRARIAN), variables={"topic": "whales"})
    studio.say(session.id, "Do whales sing?", "They do [1], not [7].")
    assert "[1] a.md, Sea" in asked_for(studio)[-2][1]
    [citation] = studio.messages(session.id)[-1].citations or []
    assert (citation.number, citation.document_name) == (1, "a.md")
    assert "Whales sing in the deep." in citation.text


def test_each_call_is_in_the_ledger_and_on_the_session(studio: Studio, session_id: UUID) -> None:
    turn = studio.say(session_id, "Hello!", "One two three.")
    [line] = studio.kb.rows("SELECT * FROM usage_ledger")
    assert (line["turn_id"], line["session_id"], line["purpose"], line["price_version"]) == (
        turn.id,
        session_id,
        "turn",
        studio.worker().prices.version,
    )
    assert (line["input_tokens"], line["cached_tokens"], line["output_tokens"]) == (10, 4, 3)
    assert line["cost"] == studio.session(session_id).cost == Decimal("0.00004")


def test_text_with_what_postgres_cannot_hold_is_cleaned(studio: Studio, session_id: UUID) -> None:
    assert studio.say(session_id, "Hello!", "a\0b\ud800c").text == "ab?c"


def test_a_turns_persistence_takes_two_flights(
    studio: Studio, session_id: UUID, cluster: Cluster, database_name: str
) -> None:
    with FlightCounter(cluster.socket_directory) as counter:
        database = Database(settings_for(cluster.url(database_name, host=counter.directory)), "spandrel_app")
        database.run(b"SELECT 1")
        turn = studio.ask(session_id, "Hello!")
        task = TurnTask(turn_id=turn.id, session_id=session_id, user_id=ADA)
        store = TurnStore(database, task, uuid4(), 60)
        before = counter.flights
        outcome, work = store.claim()
        assert store.complete([NewMessage("user", "Hello!", 1), NewMessage("assistant", "Yes.", 1)], [], None)
        assert counter.flights - before == 2
        database.close()
    assert (outcome, work and work.input) == ("claimed", "Hello!")
    assert studio.said(session_id) == ["Hello!", "Yes."]


# -- asking


def test_the_same_client_message_is_asked_once(studio: Studio, session_id: UUID) -> None:
    first = studio.ask(session_id, "Hello!", message="m")
    again = studio.ask(session_id, "Hello!", message="m")
    assert first.id == again.id
    assert len(studio.queue.messages) == 1
    studio.model.then("Yes.")
    studio.work()
    assert studio.ask(session_id, "Hello!", message="m").text == "Yes."


def test_another_text_under_the_same_client_message_is_refused(studio: Studio, session_id: UUID) -> None:
    first = studio.ask(session_id, "Hello!", message="m")
    with pytest.raises(MessageIdReusedError):
        studio.ask(session_id, "Good bye!", message="m")
    studio.model.then("Yes.")
    studio.work()
    with pytest.raises(MessageIdReusedError):
        studio.ask(session_id, "Good bye!", message="m")
    assert studio.ask(session_id, "Hello!", message="m").id == first.id
    assert studio.said(session_id) == ["Hello!", "Yes."]


def test_turns_are_answered_in_order(studio: Studio, session_id: UUID) -> None:
    studio.ask(session_id, "One?")
    studio.ask(session_id, "Two?")
    studio.queue.messages.reverse()  # as if the second came by another way
    studio.model.then("First.", "Second.")
    assert studio.work() == [TurnOutcome.BUSY, TurnOutcome.COMPLETED]
    studio.kb.rows("UPDATE turns SET queued_at = now() - interval '2 minutes' WHERE status = 'queued'")
    assert studio.upkeep.recover_turns().requeued == 1
    assert studio.work() == [TurnOutcome.COMPLETED]
    assert studio.said(session_id) == ["One?", "First.", "Two?", "Second."]


def test_a_session_that_waits_or_has_ended_takes_no_turns(studio: Studio) -> None:
    waiting = studio.begin(studio.template())
    with pytest.raises(IllegalMoveError) as caught:
        studio.ask(waiting.id, "Hello?")
    assert caught.value.members["legal"] == ["active", "cancelled", "expired", "failed"]


def test_what_is_not_there_is_not_found(studio: Studio, session_id: UUID) -> None:
    turn = studio.ask(session_id, "Hello!")
    for work in (
        lambda: studio.ask(uuid4(), "Hello!"),
        lambda: studio.ask(session_id, "Hello!", user=BOB),
        lambda: studio.turns.get(BOB, turn.id),
        lambda: studio.turns.cancel(BOB, turn.id),
        lambda: studio.turns.retry(BOB, turn.id),
        lambda: studio.turns.regenerate(BOB, turn.id),
        lambda: studio.turns.page(BOB, session_id, 10, None),
    ):
        with pytest.raises(NotFoundError):
            work()


def test_turns_are_listed_newest_first(studio: Studio, session_id: UUID) -> None:
    for number in range(3):
        studio.ask(session_id, f"{number}?")
    page = studio.turns.page(ADA, session_id, 2, None)
    assert ([turn.number for turn in page.items], page.next_before) == ([3, 2], 2)
    page = studio.turns.page(ADA, session_id, 2, page.next_before)
    assert ([turn.number for turn in page.items], page.next_before) == ([1], None)


# -- the provider's faults


@pytest.mark.parametrize(
    "fault",
    [
        ModelUnavailableError(),
        ModelRateLimitedError(retry_after=3),
        ModelAnswerInvalidError(),
        BrokenOff("Good d", ModelAnswerInvalidError()),
        BrokenOff("Good d", ModelUnavailableError()),
    ],
)
def test_a_passing_fault_is_waited_for(studio: Studio, session_id: UUID, fault: Any) -> None:
    studio.model.then(fault)
    assert studio.say(session_id, "Hello!", "Good day.").text == "Good day."
    assert studio.clock.naps == [3 if isinstance(fault, ModelRateLimitedError) else 1.0]


@pytest.mark.parametrize("fault", [ModelUnavailableError(), ModelRateLimitedError(), ModelAnswerInvalidError()])
def test_a_lasting_fault_ends_the_turn_and_a_retry_answers_it(studio: Studio, session_id: UUID, fault: Any) -> None:
    turn = studio.ask(session_id, "Hello!")
    studio.model.then(fault, fault, BrokenOff("Goo", fault))
    assert studio.work() == [TurnOutcome.FAILED]
    failed = studio.turns.get(ADA, turn.id)
    assert failed.error is not None
    assert (failed.status, failed.error.code, failed.input, failed.text) == ("failed", fault.code, "Hello!", "Goo")
    assert studio.said(session_id) == []
    studio.turns.retry(ADA, turn.id)
    studio.model.then("Good day.")
    assert studio.work() == [TurnOutcome.COMPLETED]
    assert studio.said(session_id) == ["Hello!", "Good day."]


def test_a_refusal_is_not_tried_again(studio: Studio, session_id: UUID) -> None:
    turn = studio.ask(session_id, "Hello!")
    studio.model.then(ModelRejectedError())
    assert studio.work() == [TurnOutcome.FAILED]
    assert studio.clock.naps == []
    error = studio.turns.get(ADA, turn.id).error
    assert error is not None
    assert (error.code, error.message) == ("model_rejected", ModelRejectedError.title())


def test_no_wait_is_longer_than_the_invocation(studio: Studio, session_id: UUID) -> None:
    studio.clock.left = 12
    studio.model.then(ModelRateLimitedError(retry_after=5))
    studio.ask(session_id, "Hello!")
    assert studio.work() == [TurnOutcome.FAILED]
    assert studio.clock.naps == []


def test_a_bug_ends_the_turn_visibly(studio: Studio, session_id: UUID) -> None:
    turn = studio.ask(session_id, "Hello!")
    studio.model.then(ZeroDivisionError())
    assert studio.work() == [TurnOutcome.FAILED]
    error = studio.turns.get(ADA, turn.id).error
    assert error is not None
    assert error.code == "internal_error"


def test_a_context_that_is_too_long_is_tried_with_less_history(studio: Studio, session_id: UUID) -> None:
    for number in range(4):
        studio.say(session_id, "word " * 400, f"Answer {number}.")
    studio.model.then(ContextTooLongError(), "A summary.", "Short.")
    studio.ask(session_id, "And now?")
    assert studio.work(context_tokens=2500) == [TurnOutcome.COMPLETED]
    assert len(studio.model.requests[-1].messages) < 10
    assert studio.said(session_id)[-1] == "Short."


def test_a_context_that_stays_too_long_ends_the_turn(studio: Studio, session_id: UUID) -> None:
    studio.model.then(ContextTooLongError(), ContextTooLongError())
    turn = studio.ask(session_id, "Hello!")
    assert studio.work() == [TurnOutcome.FAILED]
    error = studio.turns.get(ADA, turn.id).error
    assert error is not None
    assert error.code == "context_too_long"


# -- the window


def test_what_falls_out_of_the_window_is_summarised_once(studio: Studio, session_id: UUID) -> None:
    for number in range(6):
        studio.say(session_id, "word " * 300, f"Answer {number}.")
    studio.model.then("They counted words.", "Sixth.")
    studio.ask(session_id, "What did we do?")
    assert studio.work(context_tokens=2000) == [TurnOutcome.COMPLETED]
    asked = asked_for(studio)
    assert "They counted words." in asked[1][1]
    assert len(asked) < 10
    assert [row["purpose"] for row in studio.kb.rows("SELECT purpose FROM usage_ledger ORDER BY id")][-2:] == [
        "summary",
        "turn",
    ]
    studio.model.then("Seventh.")
    studio.ask(session_id, "And then?")
    assert studio.work(context_tokens=2000) == [TurnOutcome.COMPLETED]
    assert "They counted words." in asked_for(studio)[1][1]
    assert studio.kb.one("SELECT count(*) FROM branch_summaries") == 1
    asked = asked_for(studio)
    studio.turns.regenerate(ADA, studio.turns.page(ADA, session_id, 1, None).items[0].id)
    studio.model.then("Once more.")
    assert studio.work(context_tokens=2000, histories=Histories()) == [TurnOutcome.COMPLETED]
    assert asked_for(studio) == asked


def test_a_summary_that_cannot_be_had_costs_no_answer(studio: Studio, session_id: UUID) -> None:
    for number in range(6):
        studio.say(session_id, "word " * 300, f"Answer {number}.")
    studio.model.then(ModelRejectedError(), "Still here.")
    studio.ask(session_id, "Are you there?")
    assert studio.work(context_tokens=2000) == [TurnOutcome.COMPLETED]
    assert studio.kb.one("SELECT count(*) FROM branch_summaries") == 0
    assert len(studio.said(session_id)) == 14


def test_a_turn_that_is_retried_waits_for_one_that_was_asked_meanwhile(studio: Studio, session_id: UUID) -> None:
    first = studio.ask(session_id, "One?")
    studio.turns.cancel(ADA, first.id)
    second = studio.ask(session_id, "Two?")
    tasks = {turn.id: TurnTask(turn_id=turn.id, session_id=session_id, user_id=ADA) for turn in (first, second)}
    store = TurnStore(studio.kb.app, tasks[second.id], uuid4(), 60)
    assert store.claim()[0] == "claimed"
    studio.turns.retry(ADA, first.id)
    assert TurnStore(studio.kb.app, tasks[first.id], uuid4(), 60).claim() == ("busy", None)
    assert store.complete([NewMessage("user", "Two?", 1), NewMessage("assistant", "Second.", 1)], [], None)
    outcome, work = TurnStore(studio.kb.app, tasks[first.id], uuid4(), 60).claim()
    assert outcome == "claimed"
    assert work is not None
    assert [message.content for message in work.history] == ["Two?", "Second."]


# -- what a worker remembers


def claimed(studio: Studio, session_id: UUID, histories: Histories) -> Work:
    """What a worker gets for a turn, which is then cancelled."""
    turn = studio.ask(session_id, "And?")
    task = msgspec.convert(studio.queue.messages.pop(0), TurnTask)
    outcome, work = TurnStore(studio.kb.app, task, uuid4(), 60, histories).claim()
    studio.kb.rows("UPDATE turns SET status = 'cancelled', finished_at = now() WHERE id = %s", turn.id)
    assert outcome == "claimed"
    assert work is not None
    return work


def test_a_worker_is_told_only_what_it_does_not_know(studio: Studio, session_id: UUID) -> None:
    studio.say(session_id, "One?", "First.")
    studio.say(session_id, "Two?", "Second.")
    studio.say(session_id, "Three?", "Third.")
    knows, forgot = (claimed(studio, session_id, each) for each in (studio.histories, Histories()))
    assert (knows.history_after, forgot.history_after) == (4, 0)
    assert knows.history == forgot.history
    assert [message.ordinal for message in knows.history] == [1, 2, 3, 4, 5, 6]
    assert claimed(studio, session_id, studio.histories).history_after == 6


def test_a_worker_that_knows_a_line_which_was_left_is_told_all_of_the_new(studio: Studio, session_id: UUID) -> None:
    for number in ("One", "Two", "Three"):
        studio.say(session_id, f"{number}?", f"{number}.")
    left, studio.histories = studio.histories, Histories()
    studio.checkpoints.restore(ADA, session_id, 1)
    studio.say(session_id, "Other?", "Other.")
    studio.say(session_id, "Another?", "Another.")
    studio.histories = left
    studio.say(session_id, "And?", "And.")
    assert [text for role, text in asked_for(studio) if role != "system"] == [
        "One?",
        "One.",
        "Other?",
        "Other.",
        "Another?",
        "Another.",
        "And?",
    ]


def test_a_worker_that_knows_less_than_was_summarised_is_told_what_came_after(studio: Studio, session_id: UUID) -> None:
    for number in range(2):
        studio.say(session_id, "word " * 300, f"Answer {number}.")
    early, studio.histories = studio.histories, Histories()
    for number in range(2, 6):
        studio.say(session_id, "word " * 300, f"Answer {number}.")
    studio.model.then("They counted words.", "Sixth.")
    studio.ask(session_id, "What did we do?")
    assert studio.work(context_tokens=2000) == [TurnOutcome.COMPLETED]
    knows, forgot = (claimed(studio, session_id, each) for each in (early, Histories()))
    assert knows.summary is not None
    assert knows.history_after == knows.summary.ordinal
    assert knows.history == forgot.history


# -- tools


def test_tools_are_called_and_their_results_read(studio: Studio) -> None:
    studio.integration()
    tools = Tools()
    session = studio.begin(studio.template(CALENDAR), variables={"day": "Monday"})
    studio.model.then(calls("work__read_events", day="Monday"), "You are free.")
    assert studio.work(tools=tools) == [TurnOutcome.COMPLETED]
    assert tools.calls == [(ADA, "work", "read_events", {"day": "Monday"})]
    called, told, answer = studio.messages(session.id)
    assert [called.role, told.role, answer.role] == ["assistant", "tool", "assistant"]
    assert (called.content, answer.content) == ("", "You are free.")
    assert re.fullmatch(r"<<<([0-9a-f]{16})\nNothing on Monday\.\n\1>>>", told.content)
    assert ("system", GUARD) in asked_for(studio)
    studio.say(session.id, "Sure?", "Yes.")
    assert [message.role for message in studio.model.requests[-1].messages][3:] == [
        "assistant",
        "tool",
        "assistant",
        "user",
    ]


def test_an_unknown_tool_is_told_to_the_model(studio: Studio, session_id: UUID) -> None:
    studio.model.then(calls("nonsense"), "Sorry.")
    studio.ask(session_id, "Do it!")
    assert studio.work(tools=Tools()) == [TurnOutcome.COMPLETED]
    assert "there is no tool nonsense" in studio.said(session_id)[2]


def test_a_model_that_only_calls_tools_is_stopped(studio: Studio) -> None:
    studio.integration()
    studio.begin(studio.template(CALENDAR), variables={"day": "Monday"})
    studio.model.then(*[calls("work__read_events")] * (MAX_STEPS - 1), "Enough.")
    assert studio.work(tools=Tools()) == [TurnOutcome.COMPLETED]
    assert studio.model.requests[-1].tools == ()


def test_one_that_calls_tools_to_the_end_fails_visibly(studio: Studio) -> None:
    studio.integration()
    session = studio.begin(studio.template(CALENDAR), variables={"day": "Monday"})
    studio.model.then(*[calls("work__read_events")] * MAX_STEPS)
    assert studio.work(tools=Tools()) == [TurnOutcome.FAILED]
    assert session.turn is not None
    error = studio.turns.get(ADA, session.turn.id).error
    assert error is not None
    assert error.code == "model_answer_invalid"
    assert studio.said(session.id) == []


def test_a_tool_is_not_called_again_for_want_of_room(studio: Studio) -> None:
    studio.integration()
    tools = Tools()
    session = studio.begin(studio.template(CALENDAR), variables={"day": "Monday"})
    studio.model.then(calls("work__read_events"), ContextTooLongError(), "Done.")
    assert studio.work(tools=tools) == [TurnOutcome.COMPLETED]
    assert len(tools.calls) == 1
    assert [message.role for message in studio.messages(session.id)] == ["assistant", "tool", "assistant"]


def test_a_turn_that_is_tried_again_calls_no_tool_twice(studio: Studio) -> None:
    studio.integration()
    tools = Tools()
    session = studio.begin(studio.template(CALENDAR), variables={"day": "Monday"})
    studio.model.then(calls("work__read_events"), ModelRejectedError(), "Done.")
    assert studio.work(tools=tools) == [TurnOutcome.FAILED]
    assert session.turn is not None
    studio.turns.retry(ADA, session.turn.id)
    assert studio.work(tools=tools) == [TurnOutcome.COMPLETED]
    assert len(tools.calls) == 1
    assert studio.said(session.id)[-1] == "Done."
    assert studio.kb.one("SELECT said FROM turns") is None


def test_what_a_dead_worker_called_is_not_called_again(studio: Studio) -> None:
    """Nor is a call whose result was lost made under another key: its server can tell."""
    studio.integration()
    tools = Tools()
    session = studio.begin(studio.template(CALENDAR), variables={"day": "Monday"})
    both = (ToolCall("a", "work__read_events", {"day": "1"}), ToolCall("b", "work__read_events", {"day": "2"}))
    studio.model.then(Completion("", both, TokenUsage(10, 0, 5), "tool_calls", "fake-model"))
    tools.during = lambda: len(tools.calls) == 2 and tools.die()
    with pytest.raises(WorkerDiedError):
        studio.work(tools=tools)
    studio.kb.rows("UPDATE turns SET lease_until = now() - interval '1 second'")
    studio.upkeep.recover_turns()
    studio.model.then("Done.")
    tools.during = lambda: None
    assert studio.work(tools=tools) == [TurnOutcome.COMPLETED]
    assert [arguments["day"] for _, _, _, arguments in tools.calls] == ["1", "2", "2"]
    assert session.turn is not None
    assert tools.keys == [f"{session.turn.id}:a", f"{session.turn.id}:b", f"{session.turn.id}:b"]


def test_calls_under_one_id_are_told_apart(studio: Studio) -> None:
    """Some servers number the calls of each answer anew."""
    studio.integration()
    tools = Tools()
    studio.begin(studio.template(CALENDAR), variables={"day": "Monday"})
    studio.model.then(calls("work__read_events"), calls("work__read_events"), "Done.")
    assert studio.work(tools=tools) == [TurnOutcome.COMPLETED]
    assert len(set(tools.keys)) == 2


def test_a_tool_that_went_away_is_not_offered_and_the_model_is_told(studio: Studio) -> None:
    studio.integration()
    session = studio.begin(studio.template(CALENDAR), variables={"day": "Monday"})
    studio.model.then("Free.")
    studio.work(tools=Tools())
    studio.integration(status="unreachable")
    studio.model.then("I cannot look.")
    studio.ask(session.id, "And Tuesday?")
    assert studio.work(tools=Tools()) == [TurnOutcome.COMPLETED]
    assert studio.model.requests[-1].tools == ()
    assert ("system", "Not available now: calendar.read (unreachable). Say so where it is asked for.") in asked_for(
        studio
    )


# -- cancel, and workers that lose their turn


def test_a_waiting_turn_is_cancelled_at_once(studio: Studio, session_id: UUID) -> None:
    turn = studio.ask(session_id, "Hello!")
    assert studio.turns.cancel(ADA, turn.id).status == "cancelled"
    assert studio.work() == [TurnOutcome.DONE]
    with pytest.raises(ConflictError):
        studio.turns.cancel(ADA, turn.id)
    assert studio.events()[-1] == "turn.cancelled"


def test_a_running_turn_stops_when_it_looks_next_and_keeps_what_was_said(
    studio: Studio, session_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spandrel.chat.progress.SAVE_SECONDS", 0)
    turn = studio.ask(session_id, "Hello!")

    def during(word: str) -> None:
        if word == " three":
            studio.turns.cancel(ADA, turn.id)

    studio.model.during = during
    studio.model.then("one two three four five")
    assert studio.work() == [TurnOutcome.CANCELLED]
    ended = studio.turns.get(ADA, turn.id)
    assert (ended.status, ended.text, ended.input) == ("cancelled", "one two three", "Hello!")
    assert studio.model.closed == 1
    assert studio.said(session_id) == []


def test_the_text_so_far_is_readable_while_it_runs(
    studio: Studio, session_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spandrel.chat.progress.SAVE_SECONDS", 0)
    turn = studio.ask(session_id, "Hello!")
    seen: list[tuple[str, str | None]] = []

    def during(word: str) -> None:
        now = studio.turns.get(ADA, turn.id)
        seen.append((now.status, now.text))

    studio.model.during = during
    studio.model.then("one two three")
    studio.work()
    assert seen == [("running", None), ("running", "one"), ("running", "one two")]


def test_a_worker_that_lost_its_turn_writes_nothing(
    studio: Studio, session_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spandrel.chat.progress.SAVE_SECONDS", 0)
    turn = studio.ask(session_id, "Hello!")

    def during(word: str) -> None:  # its lease ran out, and upkeep gave the turn to another
        studio.model.during = lambda word: None
        studio.kb.rows("UPDATE turns SET lease_until = now() - interval '1 second'")
        assert studio.upkeep.recover_turns().requeued == 1

    studio.model.during = during
    studio.model.then("one two three", "the answer")
    assert studio.work() == [TurnOutcome.LOST, TurnOutcome.COMPLETED]
    assert studio.said(session_id) == ["Hello!", "the answer"]
    assert studio.turns.get(ADA, turn.id).attempt == 2


@pytest.mark.parametrize("ending", ["completed", "failed", "cancelled"])
def test_whoever_is_late_with_an_end_writes_nothing(studio: Studio, session_id: UUID, ending: str) -> None:
    turn = studio.ask(session_id, "Hello!")
    before = studio.kb.rows("SELECT * FROM agent_sessions")

    def during(word: str) -> None:
        studio.kb.rows("UPDATE turns SET lease_owner = %s", uuid4())

    studio.model.during = during
    studio.model.then("one" if ending == "completed" else BrokenOff("one", ModelRejectedError()))
    assert studio.work() == [TurnOutcome.LOST]
    assert studio.turns.get(ADA, turn.id).status == "running"
    assert studio.kb.rows("SELECT * FROM agent_sessions") == before
    assert studio.kb.one("SELECT count(*) FROM usage_ledger") == 0


def test_a_turn_whose_workers_die_fails_visibly_and_can_be_retried(studio: Studio, session_id: UUID) -> None:
    turn = studio.ask(session_id, "Hello!")
    for attempt in (1, 2, 3):
        studio.kb.rows(
            "UPDATE turns SET status = 'running', attempt = %s, lease_until = now() - interval '1 second'", attempt
        )
        report = studio.upkeep.recover_turns()
        assert (report.requeued, report.failed) == ((1, 0) if attempt < 3 else (0, 1))
    error = studio.turns.get(ADA, turn.id).error
    assert error is not None
    assert error.code == "worker_lost"
    assert studio.events()[-3:] == ["turn.retrying", "turn.retrying", "turn.failed"]
    studio.turns.retry(ADA, turn.id)
    studio.model.then("Here.")
    assert TurnOutcome.COMPLETED in studio.work()


def test_a_cancelled_turn_whose_worker_died_is_cancelled(studio: Studio, session_id: UUID) -> None:
    turn = studio.ask(session_id, "Hello!")
    studio.kb.rows(
        "UPDATE turns SET status = 'running', cancel_requested = true, lease_until = now() - interval '1 second'"
    )
    studio.upkeep.recover_turns()
    assert studio.turns.get(ADA, turn.id).status == "cancelled"


def test_a_turn_that_another_works_on_is_left_to_it(studio: Studio, session_id: UUID) -> None:
    studio.ask(session_id, "Hello!")
    studio.kb.rows("UPDATE turns SET status = 'running', lease_until = now() + interval '1 minute'")
    assert studio.work() == [TurnOutcome.BUSY]


# -- budgets


def test_a_used_up_budget_stops_the_turn_until_it_is_raised(studio: Studio, session_id: UUID) -> None:
    studio.kb.rows("INSERT INTO budgets (user_id, period, stop_at) VALUES (%s, 'total', 0.00001)", ADA)
    studio.say(session_id, "Hello!", "One two three.")
    turn = studio.ask(session_id, "More!")
    assert studio.work() == [TurnOutcome.BUDGET]
    failed = studio.turns.get(ADA, turn.id)
    assert failed.error is not None
    assert (failed.status, failed.error.code, failed.input) == ("failed", "budget_exceeded", "More!")
    assert "usage.budget_reached" in studio.events()
    studio.kb.rows("UPDATE budgets SET stop_at = 1")
    studio.turns.retry(ADA, turn.id)
    studio.model.then("Go on.")
    assert studio.work() == [TurnOutcome.COMPLETED]


# -- again


def test_a_regenerated_turn_stands_on_a_branch_of_its_own(studio: Studio, session_id: UUID) -> None:
    studio.say(session_id, "One?", "First.")
    turn = studio.say(session_id, "Two?", "Second.")
    again = studio.turns.regenerate(ADA, turn.id)
    studio.model.then("Second, better.")
    assert studio.work() == [TurnOutcome.COMPLETED]
    assert studio.said(session_id) == ["One?", "First.", "Two?", "Second, better."]
    assert studio.said(session_id, checkpoint=2) == ["One?", "First.", "Two?", "Second."]
    assert studio.turns.get(ADA, again.id).text == "Second, better."
    assert studio.turns.get(ADA, turn.id).text == "Second."


def test_a_turn_that_the_template_began_can_be_regenerated(studio: Studio) -> None:
    studio.integration()
    answer = studio.begin(studio.template(CALENDAR), variables={"day": "Monday"})
    assert answer.turn is not None
    studio.model.then("A meeting.", "Two meetings.")
    studio.work()
    studio.turns.regenerate(ADA, answer.turn.id)
    studio.work()
    assert studio.said(answer.id) == ["Two meetings."]


def test_only_a_completed_turn_is_regenerated_and_only_a_failed_one_retried(studio: Studio, session_id: UUID) -> None:
    turn = studio.ask(session_id, "Hello!")
    with pytest.raises(ConflictError):
        studio.turns.regenerate(ADA, turn.id)
    with pytest.raises(ConflictError):
        studio.turns.retry(ADA, turn.id)
    studio.model.then("Yes.")
    studio.work()
    studio.ask(session_id, "More?")
    with pytest.raises(IllegalMoveError):  # one waits
        studio.turns.regenerate(ADA, turn.id)


def test_a_conversation_deleted_under_a_turn_ends_it_quietly(studio: Studio, session_id: UUID) -> None:
    conversation = studio.session(session_id).conversation_id
    studio.ask(session_id, "Hello!")
    studio.model.during = lambda word: studio.conversations.delete(ADA, conversation)
    studio.model.then("one")
    assert studio.work() == [TurnOutcome.LOST]
    assert studio.kb.one("SELECT count(*) FROM messages") == 0


def test_a_message_for_a_turn_that_is_gone_is_done(studio: Studio, session_id: UUID) -> None:
    studio.ask(session_id, "Hello!")
    studio.conversations.delete(ADA, studio.session(session_id).conversation_id)
    assert studio.work() == [TurnOutcome.DONE]


def test_variables_given_late_reach_the_model(studio: Studio) -> None:
    answer = studio.begin(studio.template())
    studio.sessions.give_variables(User(ADA), answer.id, {"name": "Bo"})
    studio.say(answer.id, "Hi", "Hello Bo.")
    assert asked_for(studio)[0][1].strip() == "You greet Bo."


def test_the_last_piece_of_an_answer_goes_before_the_word_of_its_end(studio: Studio, session_id: UUID) -> None:
    """Who streams would show less than what is kept, once the end was told."""
    told: list[str] = []

    class Sink:
        def audience(self, *_: Any) -> None: ...
        def delta(self, *_: Any) -> None: ...
        def restart(self, *_: Any) -> None: ...
        def end(self, turn_id: UUID) -> None:
            told.append(studio.turns.get(ADA, turn_id).status)

    studio.ask(session_id, "Hello!")
    studio.model.then("Good day, Ada.")
    assert studio.work(sink=Sink()) == [TurnOutcome.COMPLETED]
    assert told == ["running"]
