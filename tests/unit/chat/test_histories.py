"""What a worker keeps of the sessions that it worked on."""

from __future__ import annotations

from uuid import UUID, uuid4

import msgspec

from spandrel.chat.histories import MESSAGE_SIZE, Histories
from spandrel.chat.work import PastMessage, PastSummary, Prompt, Work
from spandrel.sessions.messages import TurnTask

BRANCH = uuid4()


def task(session_id: UUID | None = None, user_id: str = "ada") -> TurnTask:
    return TurnTask(turn_id=uuid4(), session_id=session_id or uuid4(), user_id=user_id)


def line(first: int, last: int) -> list[PastMessage]:
    return [PastMessage(n, "user" if n % 2 else "assistant", f"m{n}", None, None, 1) for n in range(first, last + 1)]


def work(after: int, upto: int, *, branch_id: UUID = BRANCH, summarised: int | None = None) -> Work:
    """As a claim tells it: the messages after `after`."""
    return Work(
        number=1,
        kind="user",
        input="?",
        attempt=1,
        model="m",
        config={},
        prompt=Prompt([], []),
        knowledge=None,
        branch_id=branch_id,
        ordinal=upto,
        wanted=[],
        summary=PastSummary(summarised, "short") if summarised else None,
        history_after=after,
        history=line(after + 1, upto),
        tools=[],
    )


def test_what_was_told_is_completed_by_what_is_known() -> None:
    histories, mine = Histories(), task()
    assert histories.known(mine) is None
    assert histories.completed(mine, work(0, 4)).history == line(1, 4)
    known = histories.known(mine)
    assert known is not None
    assert (known.branch_id, known.ordinal) == (BRANCH, 4)
    assert histories.completed(mine, work(4, 6)).history == line(1, 6)
    assert histories.completed(mine, work(6, 6)).history == line(1, 6)


def test_a_summary_takes_what_it_stands_for_out() -> None:
    histories, mine = Histories(), task()
    histories.completed(mine, work(0, 6))
    assert histories.completed(mine, work(6, 8, summarised=4)).history == line(5, 8)
    assert histories.completed(mine, work(8, 8, summarised=8)).history == []
    assert histories.known(mine) is None


def test_what_is_told_whole_replaces_what_is_known() -> None:
    histories, mine, other = Histories(), task(), uuid4()
    histories.completed(mine, work(0, 6))
    assert histories.completed(mine, work(2, 6, summarised=2)).history == line(3, 6)
    assert histories.completed(mine, work(6, 8, branch_id=other, summarised=6)).history == line(7, 8)
    known = histories.known(mine)
    assert known is not None
    assert (known.branch_id, known.messages) == (other, line(7, 8))


def test_a_session_is_its_users_alone() -> None:
    histories, mine = Histories(), task(user_id="ada")
    histories.completed(mine, work(0, 4))
    assert histories.known(task(mine.session_id, "bob")) is None


def test_the_sessions_longest_unseen_go_first() -> None:
    room = 2 * sum(MESSAGE_SIZE + len(message.content) for message in line(1, 4))
    histories, first, second, third = Histories(size=room), task(), task(), task()
    histories.completed(first, work(0, 4))
    histories.completed(second, work(0, 4))
    histories.completed(first, work(4, 4))
    histories.completed(third, work(0, 4))
    assert [histories.known(each) is not None for each in (first, second, third)] == [True, False, True]


def test_a_line_beyond_all_room_is_not_kept_and_pushes_nothing_out() -> None:
    histories, small, large = Histories(size=3 * MESSAGE_SIZE), task(), task()
    histories.completed(small, work(0, 2))
    assert histories.completed(large, work(0, 4)).history == line(1, 4)
    assert histories.known(large) is None
    assert histories.known(small) is not None


def test_what_a_tool_was_called_with_counts() -> None:
    histories, mine = Histories(size=2 * MESSAGE_SIZE), task()
    called = PastMessage(1, "assistant", "", [{"arguments": "x" * MESSAGE_SIZE}], None, 1)
    told = msgspec.structs.replace(work(0, 1), history=[called])
    assert histories.completed(mine, told).history == [called]
    assert histories.known(mine) is None
