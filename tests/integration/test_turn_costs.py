"""What a turn costs the database, in rows read: it does not grow with the session."""

from __future__ import annotations

from uuid import uuid4

import psycopg
import pytest

from spandrel.chat.store import TurnStore
from spandrel.sessions.messages import TurnTask
from tests.support.knowledge import ADA
from tests.support.rows_read import rows_read
from tests.support.studio import Studio


def test_a_turn_reads_no_more_rows_in_a_long_session_than_in_a_short_one(studio: Studio) -> None:
    """On tables without statistics, as they are when a deployment is new."""
    session_id = studio.begin().id
    costs = []
    for number in range(40):
        before = rows_read(studio.kb)
        studio.say(session_id, f"{number}?", f"{number}.")
        costs.append(rows_read(studio.kb) - before)
    assert costs[5]["turns"] > 0
    assert costs[39] == costs[5]


def test_an_old_turn_is_read_like_a_new_one(studio: Studio) -> None:
    session_id = studio.begin().id
    turns = [studio.say(session_id, f"{number}?", f"{number}.").id for number in range(20)]
    costs = []
    for turn_id in (turns[0], turns[-1]):
        before = rows_read(studio.kb)
        assert studio.turns.get(ADA, turn_id).text is not None
        again = studio.turns.regenerate(ADA, turn_id)
        costs.append(rows_read(studio.kb) - before)
        studio.turns.cancel(ADA, again.id)
    assert costs[0] == costs[1]


def test_a_page_of_messages_reads_no_others(studio: Studio) -> None:
    session_id = studio.begin().id
    for number in range(10):
        studio.say(session_id, f"{number}?", f"{number}.")
    studio.checkpoints.restore(ADA, session_id, 5)
    for number in range(5):
        studio.say(session_id, f"Other {number}?", f"Other {number}.")
    for after in (0, 8, 16):
        before = rows_read(studio.kb)
        page = studio.checkpoints.messages(ADA, session_id, after, 4)
        assert [message.ordinal for message in page] == [after + 1, after + 2, after + 3, after + 4]
        assert (rows_read(studio.kb) - before)["messages"] == 4


def test_a_turn_of_another_session_is_not_claimed(studio: Studio) -> None:
    one, other = studio.begin().id, studio.begin().id
    turn = studio.ask(one, "Hello!")
    task = TurnTask(turn_id=turn.id, session_id=other, user_id=ADA)
    with pytest.raises(psycopg.errors.RaiseException, match="is not of session"):
        TurnStore(studio.kb.app, task, uuid4(), 60).claim()
    assert studio.turns.get(ADA, turn.id).status == "queued"
