"""Turn workers that are killed with -9 while the answer streams: every turn ends with exactly one answer."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from uuid import UUID

import msgspec
import pytest

from tests.support.chat_provider import Answer, ChatProvider
from tests.support.knowledge import ADA, KnowledgeBase
from tests.support.studio import Studio

KILLS = 20
ANSWER = "one two three four five six seven eight nine ten"


@pytest.fixture
def provider() -> Iterator[ChatProvider]:
    with ChatProvider([Answer(ANSWER, delay=0.03) for _ in range(10 * KILLS)]) as found:
        yield found


@pytest.fixture
def nursery(database_url: str, provider: ChatProvider) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "tests.support.turn_worker", database_url, provider.url]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    yield process
    process.communicate()
    assert process.returncode == 0


def work(nursery: subprocess.Popen[str], message: dict[str, Any], dies: Callable[[], bool] | None) -> str:
    """The worker's outcome, or "killed": as soon as `dies` says so."""
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    nursery.stdin.write(msgspec.json.encode(message).decode() + "\n")
    nursery.stdin.flush()
    worker = int(nursery.stdout.readline())
    if dies is not None:
        while not dies():
            time.sleep(0.005)
        with suppress(ProcessLookupError):  # it has just ended by itself
            os.kill(worker, signal.SIGKILL)
    return nursery.stdout.readline().strip()


def somewhere(studio: Studio, turn_id: UUID) -> Callable[[], bool]:
    """A random point of a turn: about its claim, or after some words of the answer; its end at the latest."""
    words, moment = random.randint(-2, 9), time.monotonic() + random.uniform(0, 0.2)

    def reached() -> bool:
        if words <= 0:
            return time.monotonic() > moment
        turn = studio.turns.get(ADA, turn_id)
        return turn.status == "completed" or len((turn.text or "").split()) >= words

    return reached


def revive(studio: Studio, turn_id: UUID) -> bool:
    """As upkeep finds a turn when its dead worker's lease has run out. Whether there is still something to do.

    More than once: the server may yet carry out what the dead worker sent last.
    """
    for _ in range(100):
        studio.kb.rows("UPDATE turns SET lease_until = now() - interval '1 second' WHERE status = 'running'")
        studio.kb.rows("UPDATE turns SET queued_at = now() - interval '2 minutes' WHERE status = 'queued'")
        studio.upkeep.recover_turns()
        if studio.turns.get(ADA, turn_id).status == "completed":
            studio.queue.messages.clear()
            return False
        if studio.queue.messages:
            return True
        time.sleep(0.05)
    raise AssertionError("the turn is neither done nor in line")


def test_every_turn_ends_with_exactly_one_answer(kb: KnowledgeBase, nursery: subprocess.Popen[str]) -> None:
    studio = Studio(kb)
    sessions = [studio.begin().id for _ in range(4)]
    turns, kills, partials = [], 0, 0
    while kills < KILLS:
        turn = studio.ask(random.choice(sessions), f"Question {len(turns)}?")
        turns.append(turn)
        deaths, left = 0, True
        while left:
            # Two workers in three die somewhere in the answer, but no more than two of a turn's.
            deadly = deaths < 2 and random.random() < 0.67
            outcome = work(nursery, studio.queue.messages.pop(), somewhere(studio, turn.id) if deadly else None)
            assert outcome in ("completed", "killed", "busy", "done")
            kills, deaths = kills + (outcome == "killed"), deaths + (outcome == "killed")
            partials += outcome == "killed" and bool(studio.turns.get(ADA, turn.id).text)
            left = revive(studio, turn.id)
    assert partials > 0
    assert {row["status"] for row in kb.rows("SELECT status FROM turns")} == {"completed"}
    said = kb.rows(
        "SELECT turn_id, array_agg(role || ':' || content ORDER BY ordinal) AS said FROM messages GROUP BY 1"
    )
    expected = {turn.id: [f"user:Question {number}?", f"assistant:{ANSWER}"] for number, turn in enumerate(turns)}
    assert {row["turn_id"]: row["said"] for row in said} == expected
    assert kb.one("SELECT count(*) FROM usage_ledger") == len(turns)
    feed = [row["seq"] for row in kb.rows("SELECT seq FROM events WHERE user_id = %s ORDER BY seq", ADA)]
    assert feed == list(range(1, len(feed) + 1))
    completed = kb.rows("SELECT subject FROM events WHERE type = 'turn.completed'")
    assert sorted(row["subject"] for row in completed) == sorted(f"turns/{turn.id}" for turn in turns)
