"""The pieces of an answer before a gateway in memory: contiguous for each connection, and no burden on the turn."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from spandrel.events.broadcast import stream as stream_module
from spandrel.events.broadcast.stream import DeltaStream
from spandrel.events.frames import MAX_FRAME_BYTES
from spandrel.events.ports import Delivery, Posted
from tests.support.gateway import SENT, FakeGateway

TURN = uuid4()


class Watched(FakeGateway):
    def __init__(self) -> None:
        super().__init__()
        self.longest = 0

    async def post(self, connection_id: str, frame: bytes, *, timeout: float) -> Posted:
        self.longest = max(self.longest, len(frame))
        return await super().post(connection_id, frame, timeout=timeout)


@pytest.fixture
def gateway() -> Watched:
    return Watched()


@pytest.fixture
def stream(gateway: Watched, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeltaStream]:
    monkeypatch.setattr(stream_module, "FLUSH_SECONDS", 0.002)
    found = DeltaStream(lambda: gateway)
    yield found
    found.close()


def screen(frames: list[dict[str, Any]]) -> str:
    """What a client shows: it takes a text as it is, and then only the delta that it expects."""
    text, expected = "", 0
    for frame in frames:
        if frame["type"] == "text":
            text, expected = frame["text"], frame["index"]
        else:
            assert frame["index"] == expected, frames
            text, expected = text + frame["text"], expected + 1
    return text


def until(reached: Callable[[], bool]) -> None:
    for _ in range(5000):
        if reached():
            return
        time.sleep(0.001)
    raise AssertionError("it does not come")


def say(stream: DeltaStream, *pieces: str, turn: UUID = TURN) -> None:
    for index, piece in enumerate(pieces):
        stream.delta(turn, 1, index, piece)


def test_pieces_arrive_in_order_and_together(stream: DeltaStream, gateway: Watched) -> None:
    stream.audience(TURN, 1, ["a", "b"])
    words = [f"word{number} " for number in range(200)]
    say(stream, *words)
    stream.end(TURN)
    for name in ("a", "b"):
        frames = gateway.frames[name]
        assert {frame["type"] for frame in frames} == {"delta"}
        assert {(frame["turn_id"], frame["attempt"]) for frame in frames} == {(str(TURN), 1)}
        assert screen(frames) == "".join(words)
        assert len(frames) < 100


def test_nobody_listening_costs_no_thread(stream: DeltaStream, gateway: Watched) -> None:
    stream.audience(TURN, 1, [])
    say(stream, "a", "b")
    stream.restart(TURN, 1, "")
    stream.end(TURN)
    stream.end(TURN)
    assert stream._thread is None
    assert gateway.frames == {}


def test_whoever_comes_later_gets_the_text_so_far_and_goes_on(stream: DeltaStream, gateway: Watched) -> None:
    stream.audience(TURN, 1, ["a"])
    say(stream, "Whales ", "sing ")
    until(lambda: screen(gateway.frames["a"]) == "Whales sing ")
    stream.audience(TURN, 1, ["a", "late"])
    until(lambda: bool(gateway.frames["late"]))
    say(stream, "songs.")
    stream.end(TURN)
    first, *rest = gateway.frames["late"]
    assert (first["type"], first["text"], first["index"]) == ("text", "Whales sing ", 0)
    assert [(frame["type"], frame["index"]) for frame in rest] == [("delta", 0)]
    assert screen(gateway.frames["a"]) == screen(gateway.frames["late"]) == "Whales sing songs."


def test_a_text_begun_anew_replaces_what_was_shown(stream: DeltaStream, gateway: Watched) -> None:
    stream.audience(TURN, 1, ["a"])
    say(stream, "Fish sing.")
    until(lambda: screen(gateway.frames["a"]) == "Fish sing.")
    stream.restart(TURN, 1, "")
    until(lambda: screen(gateway.frames["a"]) == "")
    say(stream, "Whales ", "sing.")
    stream.end(TURN)
    assert screen(gateway.frames["a"]) == "Whales sing."
    assert [frame["type"] for frame in gateway.frames["a"]].count("text") == 1


@pytest.mark.parametrize("character", ["x", "\x01", "🐋", "\ud83d"])
def test_a_long_text_so_far_is_split_and_no_frame_is_too_long(
    stream: DeltaStream, gateway: Watched, character: str
) -> None:
    text = character * 40_000
    say(stream, text)
    stream.audience(TURN, 1, ["a"])
    until(lambda: len(screen(gateway.frames["a"])) == len(text))
    stream.end(TURN)
    assert [frame["type"] for frame in gateway.frames["a"]] == ["text"] + ["delta"] * 7
    assert gateway.longest <= MAX_FRAME_BYTES
    assert screen(gateway.frames["a"]) == text.encode("utf-8", "replace").decode()


@pytest.mark.parametrize("delivery", [Delivery.FAILED, Delivery.THROTTLED])
def test_what_did_not_arrive_is_made_good_by_the_text_so_far(
    stream: DeltaStream, gateway: Watched, delivery: Delivery
) -> None:
    stream.audience(TURN, 1, ["a"])
    say(stream, "one ")
    until(lambda: screen(gateway.frames["a"]) == "one ")
    answers = [Posted(delivery)]
    gateway.answers = lambda connection_id: answers.pop() if answers else SENT
    say(stream, "two ")
    until(lambda: screen(gateway.frames["a"]) == "one two ")
    say(stream, "three")
    stream.end(TURN)
    assert [frame["type"] for frame in gateway.frames["a"]] == ["delta", "text", "delta"]
    assert screen(gateway.frames["a"]) == "one two three"


@pytest.mark.parametrize(("delivery", "tries"), [(Delivery.GONE, 1), (Delivery.FAILED, stream_module.MOST_FAILURES)])
def test_a_dead_connection_is_left_alone(stream: DeltaStream, gateway: Watched, delivery: Delivery, tries: int) -> None:
    asked = []

    def answers(connection_id: str) -> Posted:
        if connection_id != "dead":
            return SENT
        asked.append(connection_id)
        return Posted(delivery)

    gateway.answers = answers
    stream.audience(TURN, 1, ["dead", "a"])
    for index in range(50):
        stream.delta(TURN, 1, index, "word ")
        time.sleep(0.002)
        stream.audience(TURN, 1, ["dead", "a"])
    stream.end(TURN)
    assert len(asked) == tries
    assert screen(gateway.frames["a"]) == "word " * 50


def test_a_slow_connection_gets_longer_pieces_and_holds_up_nobody(stream: DeltaStream, gateway: Watched) -> None:
    gateway.answers = lambda connection_id: 0.05 if connection_id == "slow" else SENT
    stream.audience(TURN, 1, ["slow", "a"])
    for index in range(60):
        stream.delta(TURN, 1, index, "word ")
        time.sleep(0.003)
    stream.end(TURN)
    assert screen(gateway.frames["a"]) == screen(gateway.frames["slow"]) == "word " * 60
    assert len(gateway.frames["slow"]) < len(gateway.frames["a"])


def test_the_turn_waits_for_nobody(stream: DeltaStream, gateway: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that hangs: every call returns while it does, and the end after its time."""
    monkeypatch.setattr(stream_module, "END_SECONDS", 0.05)
    released = threading.Event()
    gateway.answers = lambda connection_id: 30.0
    monkeypatch.setattr(stream_module, "POST_SECONDS", 60.0)
    stream.audience(TURN, 1, ["a"])
    say(stream, *["word "] * 1000)
    stream.end(TURN)
    assert not released.is_set()
    assert gateway.frames == {}


def test_a_gateway_that_cannot_be_made_fails_no_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> FakeGateway:
        raise ValueError("no such address")

    stream = DeltaStream(broken)
    stream.audience(TURN, 1, ["a"])
    say(stream, "word")
    stream.end(TURN)
    stream.close()
    stream.close()


def test_a_thread_that_cannot_be_had_fails_no_turn(gateway: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = DeltaStream(lambda: gateway)

    def started() -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(stream, "_started", started)
    stream.audience(TURN, 1, ["a"])
    say(stream, "word" * 1000)
    stream.end(TURN)


def test_one_answer_after_another_by_one_thread(stream: DeltaStream, gateway: Watched) -> None:
    for number in range(3):
        turn = uuid4()
        stream.audience(turn, 1, [str(number)])
        say(stream, "Whales ", "sing.", turn=turn)
        stream.end(turn)
        assert screen(gateway.frames[str(number)]) == "Whales sing."
    assert stream._answers == {}


def test_a_piece_that_is_lost_at_the_end_is_made_good(stream: DeltaStream, gateway: Watched) -> None:
    lost = iter([True, True])
    gateway.answers = lambda connection_id: Posted(Delivery.THROTTLED) if next(lost, False) else SENT
    stream.audience(TURN, 1, ["a"])
    say(stream, "Whales ", "sing.")
    stream.end(TURN)
    assert screen(gateway.frames["a"]) == "Whales sing."


def test_whatever_comes_in_between_the_screen_ends_with_the_answer(
    stream: DeltaStream, gateway: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "END_SECONDS", 30)
    source, chance, lost = random.Random(4), random.Random(5), Counter[str]()

    def answers(connection_id: str) -> Posted:
        if chance.random() >= 0.02:
            return SENT
        lost[connection_id] += 1
        return Posted(Delivery.THROTTLED)

    gateway.answers = answers
    text, names = "", ["a"]
    for index in range(300):
        if source.random() < 0.01:
            text = text[: source.randrange(len(text) + 1)]
            stream.restart(TURN, 1, text)
        if source.random() < 0.03:
            names = [*names, f"late{index}"]
        stream.audience(TURN, 1, names)
        piece = "x" * source.randrange(1, 40) + " "
        text += piece
        stream.delta(TURN, 1, index, piece)
        if source.random() < 0.3:
            time.sleep(0.003)
    stream.end(TURN)
    assert len(names) > 5
    for name in names:
        assert lost[name] >= stream_module.MOST_FAILURES or screen(gateway.frames[name]) == text
