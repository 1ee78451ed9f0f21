"""The pieces of an answer, on their way to who watches it being made.

A thread with an event loop of its own sends; the turn's thread only leaves the text behind. Each connection has its own
place in the text and one frame under way, so a slow one gets fewer and longer pieces and holds up nobody, and there is
no queue that could fill. One that missed something, or that came later, is sent the text so far and goes on from there.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from spandrel.events.frames import encode
from spandrel.events.messages import Delta, TextSoFar
from spandrel.events.ports import Delivery, Gateway
from spandrel.observability import logger

FLUSH_SECONDS = 0.04
FLUSH_CHARACTERS = 1000
PIECE_CHARACTERS = 5000
"""Of a frame: 30 kB at the most, were every one of them written as an escape of six bytes."""
POST_SECONDS = 2.0
END_SECONDS = 0.5
MOST_FAILURES = 3
"""Frames of one answer that may fail to reach a connection before it is left to the event of the turn's end."""


@dataclass(slots=True)
class _Listener:
    """`shown`: of the text, in characters; None: it must be sent what there is, whatever it had. `index`: of its next
    delta.
    """

    connection_id: str
    shown: int | None
    edition: int
    index: int = 0
    failures: int = 0
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class _Answer:
    """`state` is set by the turn's thread and read by the loop's, whole: how often the text was begun, and the text."""

    turn_id: UUID
    attempt: int
    woken: asyncio.Event
    state: tuple[int, str] = (0, "")
    audience: Sequence[str] = ()
    early: frozenset[str] = frozenset()  # who was there before anything was said: nothing to catch up with
    over: bool = False
    finished: threading.Event = field(default_factory=threading.Event)
    listeners: dict[str, _Listener] = field(default_factory=dict)
    running: bool = False
    unseen: int = 0  # characters since the loop was last woken


class DeltaStream:
    """Implements `DeltaSink`. `gateway` is made in the thread, at the first answer that somebody watches."""

    def __init__(self, gateway: Callable[[], Gateway]) -> None:
        self._make = gateway
        self._gateway: Gateway | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._answers: dict[UUID, _Answer] = {}

    # -- in the turn's thread

    def audience(self, turn_id: UUID, attempt: int, connection_ids: Sequence[str]) -> None:
        answer = self._answer(turn_id, attempt)
        if answer.state == (0, ""):
            answer.early = frozenset(connection_ids)
        answer.audience = connection_ids
        if connection_ids and not answer.running:
            try:
                loop = self._started()
                asyncio.run_coroutine_threadsafe(self._run(answer), loop)
                answer.running = True
            except RuntimeError:  # no thread to be had
                logger.exception("deltas not begun", extra={"turn_id": str(turn_id)})

    def delta(self, turn_id: UUID, attempt: int, index: int, text: str) -> None:  # noqa: ARG002 - places are by listener
        answer = self._answer(turn_id, attempt)
        edition, so_far = answer.state
        answer.state = edition, so_far + text
        answer.unseen += len(text)
        if answer.unseen >= FLUSH_CHARACTERS:
            answer.unseen = 0
            self._wake(answer)

    def restart(self, turn_id: UUID, attempt: int, text: str) -> None:
        answer = self._answer(turn_id, attempt)
        answer.state = answer.state[0] + 1, text

    def end(self, turn_id: UUID) -> None:
        """What is left is sent, for half a second at the most: after that the function may be frozen."""
        answer = self._answers.pop(turn_id, None)
        if answer is not None and answer.running:
            answer.over = True
            self._wake(answer)
            answer.finished.wait(END_SECONDS)

    def close(self) -> None:
        if self._loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = self._gateway = None

    def _answer(self, turn_id: UUID, attempt: int) -> _Answer:
        answer = self._answers.get(turn_id)
        if answer is None:
            answer = self._answers[turn_id] = _Answer(turn_id, attempt, asyncio.Event())
        return answer

    def _wake(self, answer: _Answer) -> None:
        if answer.running and self._loop is not None:
            self._loop.call_soon_threadsafe(answer.woken.set)

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="deltas", daemon=True)
            self._thread.start()
        return self._loop

    # -- in the loop's thread

    async def _shut(self) -> None:
        if self._gateway is not None:
            self._gateway.close()
        await asyncio.sleep(0)  # for what was cut to be let go of

    async def _run(self, answer: _Answer) -> None:
        try:
            if self._gateway is None:
                self._gateway = self._make()
            over = False
            while not over:
                over = answer.over  # what is left when it is over is sent all the same
                self._flush(answer)
                await _first(answer.woken, FLUSH_SECONDS if not over else 0)
            await self._finish(answer)
        except Exception:  # noqa: BLE001 - the answer itself is safe
            logger.exception("deltas stopped", extra={"turn_id": str(answer.turn_id)})
        finally:
            answer.finished.set()

    def _flush(self, answer: _Answer) -> list[asyncio.Task[None]]:
        """Begins a frame to each listener that has something to come and nothing under way. All that are under way."""
        for connection_id in answer.audience:
            if connection_id not in answer.listeners:
                shown = 0 if connection_id in answer.early else None
                answer.listeners[connection_id] = _Listener(connection_id, shown, edition=0)
        for listener in answer.listeners.values():
            if (listener.task is None or listener.task.done()) and _lacks(listener, answer):
                listener.task = asyncio.create_task(self._send(listener, answer))
        tasks = [listener.task for listener in answer.listeners.values()]
        return [task for task in tasks if task is not None and not task.done()]

    async def _finish(self, answer: _Answer) -> None:
        """Until everyone has all of it, what was lost on the way included, or the time is over."""
        loop = asyncio.get_running_loop()
        end = loop.time() + END_SECONDS
        while sending := self._flush(answer):
            if (left := end - loop.time()) <= 0:
                for task in sending:
                    task.cancel()
                return
            await asyncio.wait(sending, timeout=min(FLUSH_SECONDS, left))

    async def _send(self, listener: _Listener, answer: _Answer) -> None:
        assert self._gateway is not None
        while _lacks(listener, answer):
            frame, shown, index, edition = _next_frame(listener, answer)
            posted = await self._gateway.post(listener.connection_id, frame, timeout=POST_SECONDS)
            if posted.delivery is Delivery.SENT:
                listener.shown, listener.index, listener.edition = shown, index, edition
                if not answer.over and shown is not None and len(answer.state[1]) - shown < PIECE_CHARACTERS:
                    return  # the rest waits for what comes with it
                continue
            listener.shown = None  # whether it arrived or not, the text so far makes it whole
            listener.failures = MOST_FAILURES if posted.delivery is Delivery.GONE else listener.failures + 1
            return


def _lacks(listener: _Listener, answer: _Answer) -> bool:
    edition, text = answer.state
    if listener.failures >= MOST_FAILURES:
        return False
    return listener.shown is None or listener.edition != edition or listener.shown < len(text)


def _next_frame(listener: _Listener, answer: _Answer) -> tuple[bytes, int, int, int]:
    """The frame, and the listener's place, next index and edition when it has arrived."""
    edition, text = answer.state
    if listener.shown is None or listener.edition != edition:
        piece = text[:PIECE_CHARACTERS]
        so_far = TextSoFar(turn_id=answer.turn_id, attempt=answer.attempt, index=listener.index, text=_sayable(piece))
        return encode(so_far), len(piece), listener.index, edition
    piece = text[listener.shown : listener.shown + PIECE_CHARACTERS]
    delta = Delta(turn_id=answer.turn_id, attempt=answer.attempt, index=listener.index, text=_sayable(piece))
    return encode(delta), listener.shown + len(piece), listener.index + 1, edition


def _sayable(text: str) -> str:
    """JSON holds no lone surrogate, and a model may say one."""
    return text.encode("utf-8", "replace").decode()


async def _first(woken: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await woken.wait()
    except TimeoutError:
        pass
    woken.clear()
