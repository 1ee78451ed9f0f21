"""A turn, from its claim to its end: retrieve, call the model with the tools at hand, stream, write it once.

Every end is written to the turn with its reason. A worker that dies leaves a lease that runs out, and upkeep puts the
turn back in line; a worker that has lost its turn writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import uuid4

import msgspec

from spandrel.chat import converse, window
from spandrel.chat.ask import Asker, Invocation
from spandrel.chat.histories import Histories
from spandrel.chat.models import ChatMessage, ChatRequest, ToolCall
from spandrel.chat.ports import ChatModel, DeltaSink, ToolCaller
from spandrel.chat.progress import Progress, TurnCancelledError, TurnLostError
from spandrel.chat.store import Ask, NewSummary, TurnStore
from spandrel.chat.tools import Toolbox
from spandrel.chat.work import NewMessage, Work
from spandrel.database import Database
from spandrel.errors import ContextTooLongError, ModelAnswerInvalidError, SpandrelError
from spandrel.knowledge.search.models import SearchRequest
from spandrel.knowledge.search.search import Search
from spandrel.observability import logger
from spandrel.prompts import tokens
from spandrel.prompts.capabilities import callable_tools
from spandrel.prompts.models import Passage
from spandrel.prompts.prepare import passages
from spandrel.sessions.messages import TurnTask
from spandrel.usage.models import ModelCall
from spandrel.usage.prices import PriceTable

MAX_STEPS = 8
"""Model calls of one turn: an answer, and rounds of tools before it."""
ANSWER_SHARE = 0.25
"""Of the window, kept free for the answer."""


class TurnOutcome(StrEnum):
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"  # another worker has it
    DONE = "done"  # nothing was left to do
    PAUSED = "paused"  # it waits with its session
    WAITING = "waiting"  # it waits for a person's word, or behind a turn that does
    BUSY = "busy"  # not its turn yet: come back
    BUDGET = "budget"  # it failed: a budget is used up


@dataclass(frozen=True, slots=True)
class RunTurn:
    """`context_tokens`: the model's window. `lease_seconds`: longer than any silence of the model."""

    database: Database
    model: ChatModel
    search: Callable[[], Search]
    prices: PriceTable
    context_tokens: int
    lease_seconds: int
    tools: ToolCaller | None = None
    sink: DeltaSink | None = None
    histories: Histories = field(default_factory=Histories)

    def run(self, task: TurnTask, invocation: Invocation) -> TurnOutcome:
        store = TurnStore(self.database, task, uuid4(), self.lease_seconds, self.histories)
        outcome, work = store.claim()
        if work is None:
            return TurnOutcome(outcome)
        calls: list[ModelCall] = []
        progress = Progress(store, work.attempt, self.sink)
        progress.audience(work.connections)
        worker = _Worker(self, task, work, Asker(self.model, self.prices, invocation, calls), progress)
        try:
            try:
                messages, summary = worker.work()
            finally:
                progress.end()  # the last piece goes before the word of the end
            return TurnOutcome.COMPLETED if store.complete(messages, calls, summary) else TurnOutcome.LOST
        except _AsksError as asked:
            parked = store.park(asked.said, progress.text, calls, asked.asks)
            return _ended(parked, TurnOutcome.WAITING)
        except TurnLostError:
            return TurnOutcome.LOST
        except TurnCancelledError:
            return _ended(store.end("cancelled", None, None, progress.text, calls), TurnOutcome.CANCELLED)
        except SpandrelError as error:
            return self._fail(store, error, progress, calls)
        except Exception:  # noqa: BLE001 - the turn's user must see an end, the log has the rest
            logger.exception("turn failed", extra={"turn_id": str(task.turn_id)})
            return self._fail(store, SpandrelError(), progress, calls)

    def _fail(self, store: TurnStore, error: SpandrelError, progress: Progress, calls: list[ModelCall]) -> TurnOutcome:
        logger.warning("turn failed", extra={"turn_id": str(store.task.turn_id), "code": error.code})
        return _ended(store.end("failed", error.code, error.detail, progress.text, calls), TurnOutcome.FAILED)


def _ended(written: bool, outcome: TurnOutcome) -> TurnOutcome:
    return outcome if written else TurnOutcome.LOST


class _AsksError(Exception):
    """The turn cannot go on without its user's word."""

    def __init__(self, said: list[NewMessage], asks: list[Ask]) -> None:
        super().__init__()
        self.said, self.asks = said, asks


@dataclass(slots=True)
class _Worker:
    """The work between claim and end."""

    run: RunTurn
    task: TurnTask
    turn: Work
    asker: Asker
    progress: Progress
    toolbox: Toolbox = field(init=False)
    said: list[NewMessage] = field(init=False)  # what is not to be said again, whatever comes in between

    def __post_init__(self) -> None:
        caller = self.run.tools
        self.toolbox = Toolbox(
            self.task.user_id,
            self.task.turn_id,
            caller,
            {tool.name: tool for tool in callable_tools(self.turn.tools)} if caller else {},
            self.turn.decisions,
            lambda: self.asker.invocation.left,
        )
        self.said = list(self.turn.said)

    def work(self) -> tuple[list[NewMessage], NewSummary | None]:
        asked = converse.question(self.turn)
        found = self._retrieve(asked.text)
        budget = int(self.run.context_tokens * (1 - ANSWER_SHARE)) - self._fixed_tokens(asked, found)
        try:
            said, summary = self._answer(asked, found, budget)
        except ContextTooLongError:  # our count is not the provider's: once more with half the history
            said, summary = self._answer(asked, found, budget // 2)
        last = said[-1]
        said[-1] = _message("assistant", last.content, citations=converse.citations(last.content, found))
        return [*(_message(message.role, message.content) for message in asked.messages), *said], summary

    def _answer(
        self, asked: converse.Question, found: list[Passage], budget: int
    ) -> tuple[list[NewMessage], NewSummary | None]:
        fitted = window.fit(self.turn.history, budget)
        if fitted.dropped:  # well below the limit, or every further turn would have to be summarised for
            fitted = window.fit(self.turn.history, budget // 2)
        summary = self._summarise(fitted) if fitted.dropped else None
        messages = converse.conversation(self.turn, fitted.kept, summary, found, asked, bool(self.toolbox.tools))
        return self._converse(messages), summary

    def _converse(self, messages: list[ChatMessage]) -> list[NewMessage]:
        """Asks until the model asks for no tool; every message after the question, the answer last.

        Begins where a worker before this one stopped: with what it said, and the calls that it left open.
        """
        said = self.said
        self._call(converse.open_calls(said))
        steps = sum(message.role == "assistant" for message in said)
        for step in range(steps + 1, max(steps + 1, MAX_STEPS) + 1):
            offered = self.toolbox.specs() if step < MAX_STEPS else ()
            asked = (*messages, *converse.spoken(said))
            completion = self.asker.ask(ChatRequest(self.turn.model, asked, offered, self.turn.config), self.progress)
            calls = converse.distinct(completion.tool_calls, said)
            said.append(_message("assistant", completion.text, tool_calls=msgspec.to_builtins(calls) or None))
            if not calls:
                return said
            self._call(calls)
        raise ModelAnswerInvalidError("The language model went on calling tools and gave no answer. Ask for less.")

    def _call(self, calls: list[ToolCall]) -> None:
        """Every call that may be made is, and each result kept, before the others are asked for."""
        asks = {call.id: ask for call in calls if (ask := self.toolbox.ask_for(call))}
        for call in calls:
            if call.id not in asks:
                self.said.append(_message("tool", self.toolbox.result(call), tool_call_id=call.id))
                self.progress.keep(self.said)
        if asks:
            raise _AsksError(self.said, list(asks.values()))

    def _retrieve(self, text: str) -> list[Passage]:
        knowledge = self.turn.knowledge
        if knowledge is None or knowledge.collections == [] or not text.strip():
            return []
        request = SearchRequest(
            query=text[:8000],
            collections=knowledge.collections,
            top_k=knowledge.top_k,
            mode=knowledge.mode,  # type: ignore[arg-type]
            score_threshold=knowledge.score_threshold,
        )
        found = self.run.search().run(self.task.user_id, request, charge=self.asker.calls.append)
        return passages(found.hits)

    def _summarise(self, fitted: window.Window) -> NewSummary | None:
        """None: it could not be had. The turn goes on without; nothing is lost, the history stays where it is."""
        before = self.turn.summary.content if self.turn.summary else None
        text = window.transcript(fitted.dropped, before)
        limit = int(self.run.context_tokens * (1 - ANSWER_SHARE)) * tokens.BYTES_A_TOKEN
        request = ChatRequest(
            self.turn.model,
            (ChatMessage("system", window.SUMMARY_INSTRUCTIONS), ChatMessage("user", text[-limit:])),
        )
        try:
            completion = self.asker.ask(request, None, "summary")
        except SpandrelError as error:
            logger.warning("history not summarised", extra={"code": error.code})
            return None
        content = completion.text.strip()
        if not content:
            return None
        return NewSummary(fitted.dropped[-1].ordinal, content, tokens.exact(content))

    def _fixed_tokens(self, asked: converse.Question, found: list[Passage]) -> int:
        tools = self.toolbox.tools
        fixed = converse.conversation(self.turn, [], None, found, asked, bool(tools)) + converse.spoken(self.said)
        offered = msgspec.json.encode(list(tools.values())).decode() if tools else ""
        return sum(tokens.exact(message.content) + tokens.MESSAGE_OVERHEAD for message in fixed) + tokens.exact(offered)


def _message(role: str, content: str, **more: Any) -> NewMessage:
    return NewMessage(role, content, tokens.exact(content), **more)
