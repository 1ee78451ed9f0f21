"""Checkpoints, forks, conversations and the lifecycle, with several users and by a stateful search for faults."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from spandrel.chat.histories import Histories
from spandrel.errors import ConflictError, IllegalMoveError, InvalidRequestError, NotFoundError
from spandrel.idempotency.key import IdempotencyKey
from spandrel.prompts.prepare import User
from spandrel.usage.budgets import Budgets
from tests.support.knowledge import ADA, BOB
from tests.support.studio import Studio


@pytest.fixture
def session_id(studio: Studio) -> UUID:
    return studio.begin().id


def numbers(studio: Studio, session_id: UUID) -> list[int]:
    return [checkpoint.number for checkpoint in studio.checkpoints.page(ADA, session_id, 100, None).items]


# -- checkpoints


def test_a_restored_session_goes_on_from_the_checkpoint(studio: Studio, session_id: UUID) -> None:
    studio.say(session_id, "One?", "First.")
    studio.say(session_id, "Two?", "Second.")
    restored = studio.checkpoints.restore(ADA, session_id, 1)
    assert (restored.number, restored.ordinal, restored.turn_id) == (3, 2, None)
    assert studio.said(session_id) == ["One?", "First."]
    studio.say(session_id, "Three?", "Third.")
    assert studio.said(session_id) == ["One?", "First.", "Three?", "Third."]
    assert studio.said(session_id, checkpoint=2) == ["One?", "First.", "Two?", "Second."]
    studio.checkpoints.restore(ADA, session_id, 2)
    assert studio.said(session_id) == ["One?", "First.", "Two?", "Second."]


def test_a_fork_shares_what_was_said_and_goes_its_own_way(studio: Studio, session_id: UUID) -> None:
    studio.say(session_id, "One?", "First.")
    studio.say(session_id, "Two?", "Second.")
    fork = studio.checkpoints.fork(ADA, session_id, 1)
    assert (fork.parent_session_id, fork.status, fork.turns, fork.cost) == (session_id, "active", 0, 0)
    assert fork.conversation_id == studio.session(session_id).conversation_id
    before = studio.kb.one("SELECT count(*) FROM messages")
    studio.say(fork.id, "Three?", "Third.")
    assert studio.kb.one("SELECT count(*) FROM messages") == before + 2
    assert studio.said(fork.id) == ["One?", "First.", "Three?", "Third."]
    assert studio.said(session_id) == ["One?", "First.", "Two?", "Second."]
    again = studio.checkpoints.fork(ADA, fork.id, 1)
    assert studio.said(again.id) == ["One?", "First.", "Three?", "Third."]


def test_an_ended_session_can_be_forked_but_not_restored(studio: Studio, session_id: UUID) -> None:
    studio.say(session_id, "One?", "First.")
    studio.sessions.move(ADA, session_id, "completed")
    with pytest.raises(IllegalMoveError):
        studio.checkpoints.restore(ADA, session_id, 0)
    assert studio.checkpoints.fork(ADA, session_id, 1).status == "active"


def test_a_fork_by_the_same_key_is_made_once(studio: Studio, session_id: UUID) -> None:
    key = IdempotencyKey.of(ADA, "k", "fork_session", {})
    assert studio.checkpoints.fork(ADA, session_id, 0, key).id == studio.checkpoints.fork(ADA, session_id, 0, key).id


def test_retention_keeps_the_newest_and_the_named(studio: Studio) -> None:
    answer = studio.begin(studio.template(), variables={"name": "A"}, keep_checkpoints=2)
    studio.say(answer.id, "One?", "First.")
    studio.checkpoints.name(ADA, answer.id, 1, "the beginning")
    for number in range(4):
        studio.say(answer.id, f"{number}?", f"{number}.")
    assert numbers(studio, answer.id) == [5, 4, 1, 0]
    assert studio.checkpoints.get(ADA, answer.id, 1).name == "the beginning"
    assert len(studio.said(answer.id)) == 10


def test_settings_change_while_it_lives(studio: Studio, session_id: UUID) -> None:
    changed = studio.sessions.set(ADA, session_id, idle_seconds=120, keep_checkpoints=3, keep_all=False)
    assert (changed.idle_seconds, changed.keep_checkpoints) == (120, 3)
    kept = studio.sessions.set(ADA, session_id, idle_seconds=None, keep_checkpoints=None, keep_all=False)
    assert (kept.idle_seconds, kept.keep_checkpoints) == (120, 3)
    assert (
        studio.sessions.set(ADA, session_id, idle_seconds=None, keep_checkpoints=None, keep_all=True).keep_checkpoints
        is None
    )


def test_messages_are_read_in_pages(studio: Studio, session_id: UUID) -> None:
    for number in range(3):
        studio.say(session_id, f"{number}?", f"{number}.")
    page = studio.checkpoints.messages(ADA, session_id, 2, 3)
    assert [message.ordinal for message in page] == [3, 4, 5]


def test_what_is_anothers_is_not_there(studio: Studio, session_id: UUID) -> None:
    for work in (
        lambda: studio.checkpoints.page(BOB, session_id, 10, None),
        lambda: studio.checkpoints.get(BOB, session_id, 0),
        lambda: studio.checkpoints.get(ADA, session_id, 9),
        lambda: studio.checkpoints.name(BOB, session_id, 0, "x"),
        lambda: studio.checkpoints.restore(BOB, session_id, 0),
        lambda: studio.checkpoints.fork(BOB, session_id, 0),
        lambda: studio.checkpoints.fork(ADA, session_id, 9),
        lambda: studio.checkpoints.messages(BOB, session_id, 0, 10),
        lambda: studio.checkpoints.messages(ADA, session_id, 0, 10, 9),
        lambda: studio.sessions.get(BOB, session_id),
        lambda: studio.sessions.history(BOB, session_id),
        lambda: studio.sessions.move(BOB, session_id, "paused"),
        lambda: studio.sessions.set(BOB, session_id, idle_seconds=60, keep_checkpoints=None, keep_all=False),
        lambda: studio.sessions.give_variables(User(BOB), session_id, {}),
        lambda: studio.conversations.get(BOB, studio.session(session_id).conversation_id),
        lambda: studio.conversations.change(BOB, studio.session(session_id).conversation_id, title="x"),
        lambda: studio.conversations.delete(BOB, studio.session(session_id).conversation_id),
    ):
        with pytest.raises(NotFoundError):
            work()
    assert studio.sessions.page(BOB, 10, None, None, None).items == []


# -- statuses


def test_every_move_is_audited_with_its_reason(studio: Studio, session_id: UUID) -> None:
    studio.sessions.move(ADA, session_id, "paused", "lunch")
    studio.sessions.move(ADA, session_id, "active")
    studio.sessions.move(ADA, session_id, "completed", "done")
    changes = studio.sessions.history(ADA, session_id)
    assert [(change.from_status, change.to_status, change.reason) for change in changes] == [
        (None, "active", None),
        ("active", "paused", "lunch"),
        ("paused", "active", None),
        ("active", "completed", "done"),
    ]
    assert studio.events()[1:] == ["session.paused", "session.active", "session.completed"]


def test_an_illegal_move_names_what_is_legal(studio: Studio, session_id: UUID) -> None:
    studio.sessions.move(ADA, session_id, "completed")
    with pytest.raises(IllegalMoveError) as caught:
        studio.sessions.move(ADA, session_id, "paused")
    assert caught.value.members == {"legal": []}
    assert caught.value.detail == "A session that is completed cannot become paused."


def test_the_same_status_again_is_refused(studio: Studio, session_id: UUID) -> None:
    studio.sessions.move(ADA, session_id, "paused")
    with pytest.raises(IllegalMoveError) as caught:
        studio.sessions.move(ADA, session_id, "paused")
    assert "active" in caught.value.members["legal"]


def test_a_session_that_waits_for_variables_is_not_resumed(studio: Studio) -> None:
    answer = studio.begin(studio.template())
    with pytest.raises(IllegalMoveError):
        studio.sessions.move(ADA, answer.id, "active")


def test_turns_wait_while_paused_and_go_on_when_resumed(studio: Studio, session_id: UUID) -> None:
    studio.ask(session_id, "One?")
    studio.sessions.move(ADA, session_id, "paused")
    assert studio.work() == ["paused"]
    studio.kb.rows("UPDATE turns SET queued_at = now() - interval '2 minutes'")
    assert studio.upkeep.recover_turns().requeued == 0
    with pytest.raises(IllegalMoveError):
        studio.ask(session_id, "Two?")
    studio.sessions.move(ADA, session_id, "active")
    studio.model.then("First.")
    assert studio.work() == ["completed"]


def test_a_session_that_ends_takes_its_turns_with_it(studio: Studio, session_id: UUID) -> None:
    waiting = studio.ask(session_id, "One?")
    studio.sessions.move(ADA, session_id, "cancelled")
    turn = studio.turns.get(ADA, waiting.id)
    assert turn.error is not None
    assert (turn.status, turn.error.code) == ("cancelled", "session_ended")
    assert studio.work() == ["done"]
    with pytest.raises(ConflictError):
        studio.turns.retry(ADA, waiting.id)


def test_an_idle_session_expires_but_not_while_a_turn_waits(studio: Studio, session_id: UUID) -> None:
    turn = studio.ask(session_id, "One?")
    studio.kb.rows("UPDATE agent_sessions SET expires_at = now() - interval '1 second'")
    assert studio.upkeep.expire_sessions() == 0
    studio.turns.cancel(ADA, turn.id)
    assert studio.upkeep.expire_sessions() == 1
    assert (studio.session(session_id).status, studio.session(session_id).status_reason) == ("expired", "idle")


def test_the_database_refuses_what_the_code_would_not_ask(studio: Studio, session_id: UUID) -> None:
    import psycopg

    for statement in (
        "UPDATE agent_sessions SET status = 'initializing'",
        "UPDATE messages SET content = 'forged'",
        "UPDATE session_status_changes SET reason = 'forged'",
    ):
        studio.say(session_id, "One?", "First.") if "messages" in statement else None
        with pytest.raises(psycopg.Error) as caught:
            studio.kb.rows(statement)
        assert caught.value.sqlstate in ("SP002", "SP003")


# -- conversations


def test_conversations_are_listed_by_activity_searched_renamed_and_archived(studio: Studio) -> None:
    template = studio.template()
    sea, sky = (studio.begin(template, variables={"name": name}, title=name) for name in ("Sea", "Sky"))
    studio.say(sea.id, "Do 100% of whales_sing?", "They do.")

    def titles(**more: object) -> list[str]:
        return [each.title for each in studio.conversations.page(ADA, 10, None, **more).items]  # type: ignore[arg-type]

    assert titles() == ["Sea", "Sky"]
    assert titles(search="SKY") == ["Sky"]
    assert titles(search="100% of whales_s") == ["Sea"]
    assert titles(search="100_") == []
    studio.conversations.change(ADA, sky.conversation_id, title="Clouds", archived=True)
    assert (titles(), titles(archived=True)) == (["Sea"], ["Clouds"])
    studio.conversations.change(ADA, sky.conversation_id, archived=False)
    assert titles() == ["Sea", "Clouds"]
    first = studio.conversations.page(ADA, 1, None)
    second = studio.conversations.page(ADA, 1, first.next_cursor)
    assert ([each.title for each in second.items], second.next_cursor) == (["Clouds"], None)


def test_a_deleted_conversation_is_gone_with_all_that_was_said(studio: Studio, session_id: UUID) -> None:
    studio.say(session_id, "One?", "First.")
    studio.checkpoints.fork(ADA, session_id, 1)
    studio.conversations.delete(ADA, studio.session(session_id).conversation_id)
    for table in ("agent_sessions", "branches", "messages", "turns", "session_checkpoints", "session_status_changes"):
        assert studio.kb.one(f"SELECT count(*) FROM {table}") == 0
    assert studio.kb.one("SELECT count(*) FROM usage_ledger") == 1
    with pytest.raises(NotFoundError):
        studio.conversations.delete(ADA, uuid4())


@pytest.mark.parametrize("cursor", ["nonsense", "bm9uc2Vuc2U", "!"])
def test_a_foreign_cursor_is_refused(studio: Studio, cursor: str) -> None:
    with pytest.raises(InvalidRequestError):
        studio.conversations.page(ADA, 10, cursor)


def test_a_budget_goes_with_its_session(studio: Studio, session_id: UUID) -> None:
    budgets, other = Budgets(studio.kb.app), studio.begin()
    for of in (session_id, other.id, None):
        budgets.put(ADA, "total", of, None, Decimal("5"))
    studio.conversations.delete(ADA, studio.session(session_id).conversation_id)
    assert [budget.session_id for budget in budgets.page(ADA, 10, None).items] == [None, other.id]


# -- stateful


class Lifecycle(RuleBasedStateMachine):
    """Any order of turns, restores, forks, regenerations and moves: the line is always what a model of it says."""

    studio: Studio

    def __init__(self) -> None:
        super().__init__()
        self.studio.queue.messages.clear()
        self.studio.model.script.clear()
        first = self.studio.begin(variables={"name": "A"}, template=self.template)
        self.lines: dict[UUID, list[str]] = {first.id: []}
        self.places: dict[tuple[UUID, int], list[str]] = {(first.id, 0): []}
        self.status: dict[UUID, str] = {first.id: "active"}
        self.last: dict[UUID, tuple[UUID, list[str], str]] = {}
        self.count = 0
        self.workers = [Histories(), Histories()]

    template: UUID

    def _pick(self, index: int, status: str | None = None) -> UUID | None:
        found = [each for each in self.lines if status is None or self.status[each] == status]
        return found[index % len(found)] if found else None

    def _mark(self, session_id: UUID) -> None:
        newest = self.studio.session(session_id).checkpoints
        self.places[session_id, newest] = list(self.lines[session_id])

    @rule(index=st.integers(0, 9), worker=st.integers(0, 2))
    def say(self, index: int, worker: int) -> None:
        """By a worker that knows the session or what it was, or by a new one: all send the model the same."""
        if session_id := self._pick(index, "active"):
            self.count += 1
            before = list(self.lines[session_id])
            self.studio.histories = [*self.workers, Histories()][worker]
            turn = self.studio.say(session_id, f"q{self.count}", f"a{self.count}")
            self.last[session_id] = (turn.id, before, f"q{self.count}")
            self.lines[session_id] += [f"q{self.count}", f"a{self.count}"]
            self._mark(session_id)
            read = [message.content for message in self.studio.model.requests[-1].messages if message.role != "system"]
            assert read == [*before, f"q{self.count}"]

    @rule(index=st.integers(0, 9))
    def fail(self, index: int) -> None:
        if session_id := self._pick(index, "active"):
            self.studio.ask(session_id, "lost?")
            self.studio.model.then(ZeroDivisionError())
            assert self.studio.work() == ["failed"]

    @rule(index=st.integers(0, 9))
    def regenerate(self, index: int) -> None:
        session_id = self._pick(index, "active")
        if session_id and session_id in self.last:
            turn_id, before, question = self.last[session_id]
            self.count += 1
            again = self.studio.turns.regenerate(ADA, turn_id)
            self.studio.model.then(f"a{self.count}")
            assert self.studio.work() == ["completed"]
            self.lines[session_id] = [*before, question, f"a{self.count}"]
            self.last[session_id] = (again.id, before, question)
            self._mark(session_id)

    @rule(index=st.integers(0, 9), place=st.integers(0, 99))
    def restore(self, index: int, place: int) -> None:
        if session_id := self._pick(index, "active"):
            found = sorted(number for each, number in self.places if each == session_id)
            number = found[place % len(found)]
            self.studio.checkpoints.restore(ADA, session_id, number)
            self.lines[session_id] = list(self.places[session_id, number])
            self.last.pop(session_id, None)
            self._mark(session_id)

    @precondition(lambda self: len(self.lines) < 6)
    @rule(index=st.integers(0, 9), place=st.integers(0, 99))
    def fork(self, index: int, place: int) -> None:
        session_id = self._pick(index)
        assert session_id
        found = sorted(number for each, number in self.places if each == session_id)
        number = found[place % len(found)]
        fork = self.studio.checkpoints.fork(ADA, session_id, number)
        self.lines[fork.id] = list(self.places[session_id, number])
        self.places[fork.id, 0] = list(self.lines[fork.id])
        self.status[fork.id] = "active"

    @rule(index=st.integers(0, 9), status=st.sampled_from(["active", "paused", "completed", "cancelled"]))
    def move(self, index: int, status: str) -> None:
        session_id = self._pick(index)
        assert session_id
        legal = {"active": {"paused", "completed", "cancelled"}, "paused": {"active", "completed", "cancelled"}}
        if status in legal.get(self.status[session_id], set()):
            self.studio.sessions.move(ADA, session_id, status)  # type: ignore[arg-type]
            self.status[session_id] = status
        else:
            with pytest.raises(IllegalMoveError):
                self.studio.sessions.move(ADA, session_id, status)  # type: ignore[arg-type]

    def teardown(self) -> None:
        for session_id, line in self.lines.items():
            assert self.studio.said(session_id) == line
            assert self.studio.session(session_id).status == self.status[session_id]
        for (session_id, number), line in self.places.items():
            assert self.studio.said(session_id, checkpoint=number) == line


def test_no_order_of_what_can_be_done_breaks_a_line(studio: Studio) -> None:
    class Machine(Lifecycle):
        pass

    Machine.studio, Machine.template = studio, studio.template()
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
