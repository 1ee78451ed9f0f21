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
from spandrel.chat.models import ChatMessage, ChatRequest, Completion, ToolSpec
from spandrel.chat.ports import ChatModel, DeltaSink, ToolCaller
from spandrel.chat.progress import Progress, TurnCancelledError, TurnLostError
from spandrel.chat.store import Call, NewMessage, NewSummary, TurnStore, Work
from spandrel.database import Database
from spandrel.errors import ContextTooLongError, ModelAnswerInvalidError, SpandrelError
from spandrel.knowledge.search.models import SearchRequest
from spandrel.knowledge.search.search import Search
from spandrel.observability import logger
from spandrel.prompts import tokens
from spandrel.prompts.capabilities import callable_tools
from spandrel.prompts.models import Passage, Tool
from spandrel.prompts.prepare import passages
from spandrel.sessions.messages import TurnTask
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

    def run(self, task: TurnTask, invocation: Invocation) -> TurnOutcome:
        store = TurnStore(self.database, task, uuid4(), self.lease_seconds)
        outcome, work = store.claim()
        if work is None:
            return TurnOutcome(outcome)
        calls: list[Call] = []
        progress = Progress(store, work.attempt, self.sink)
        worker = _Worker(self, task, work, Asker(self.model, self.prices, invocation, calls), progress)
        try:
            messages, summary = worker.work()
            return TurnOutcome.COMPLETED if store.complete(messages, calls, summary) else TurnOutcome.LOST
        except TurnLostError:
            return TurnOutcome.LOST
        except TurnCancelledError:
            return _ended(store.end("cancelled", None, None, progress.text, calls), TurnOutcome.CANCELLED)
        except SpandrelError as error:
            return self._fail(store, error, progress, calls)
        except Exception:  # noqa: BLE001 - the turn's user must see an end, the log has the rest
            logger.exception("turn failed", extra={"turn_id": str(task.turn_id)})
            return self._fail(store, SpandrelError(), progress, calls)

    def _fail(self, store: TurnStore, error: SpandrelError, progress: Progress, calls: list[Call]) -> TurnOutcome:
        logger.warning("turn failed", extra={"turn_id": str(store.task.turn_id), "code": error.code})
        return _ended(store.end("failed", error.code, error.detail, progress.text, calls), TurnOutcome.FAILED)


def _ended(written: bool, outcome: TurnOutcome) -> TurnOutcome:
    return outcome if written else TurnOutcome.LOST


@dataclass(slots=True)
class _Worker:
    """The work between claim and end."""

    run: RunTurn
    task: TurnTask
    turn: Work
    asker: Asker
    progress: Progress
    tools: dict[str, Tool] = field(default_factory=dict)
    called: bool = False  # a tool, which may have done something that must not be done twice

    def work(self) -> tuple[list[NewMessage], NewSummary | None]:
        asked = converse.question(self.turn)
        found = self._retrieve(asked.text)
        if self.run.tools is not None:
            self.tools = {tool.name: tool for tool in callable_tools(self.turn.tools)}
        budget = int(self.run.context_tokens * (1 - ANSWER_SHARE)) - self._fixed_tokens(asked, found)
        try:
            said, summary = self._answer(asked, found, budget)
        except ContextTooLongError:  # our count is not the provider's: once more with half the history
            if self.called:
                raise
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
        messages = converse.conversation(self.turn, fitted.kept, summary, found, asked)
        return self._converse(messages), summary

    def _converse(self, messages: list[ChatMessage]) -> list[NewMessage]:
        """Asks until the model asks for no tool; every message after the question, the answer last."""
        said: list[NewMessage] = []
        specs = tuple(ToolSpec(tool.name, tool.description, tool.parameters) for tool in self.tools.values())
        for step in range(1, MAX_STEPS + 1):
            request = ChatRequest(self.turn.model, tuple(messages), specs if step < MAX_STEPS else (), self.turn.config)
            completion = self.asker.ask(request, self.progress)
            said.append(_message("assistant", completion.text, tool_calls=_calls(completion)))
            messages.append(ChatMessage("assistant", completion.text, completion.tool_calls))
            if not completion.tool_calls:
                return said
            for call in completion.tool_calls:
                result = self._call(call.name, call.arguments)
                self.progress.save()
                said.append(_message("tool", result, tool_call_id=call.id))
                messages.append(ChatMessage("tool", result, tool_call_id=call.id))
        raise ModelAnswerInvalidError("The language model went on calling tools and gave no answer. Ask for less.")

    def _call(self, name: str, arguments: dict[str, Any]) -> str:
        tool = self.tools.get(name)
        if tool is None or self.run.tools is None:
            return f"Error: there is no tool {name}."
        self.called = True
        return self.run.tools.call(self.task.user_id, tool.integration, tool.tool, arguments)

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
        return passages(self.run.search().run(self.task.user_id, request).hits)

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
        fixed = converse.conversation(self.turn, [], None, found, asked)
        offered = msgspec.json.encode(list(self.tools.values())).decode() if self.tools else ""
        return sum(tokens.exact(message.content) + tokens.MESSAGE_OVERHEAD for message in fixed) + tokens.exact(offered)


def _message(role: str, content: str, **more: Any) -> NewMessage:
    return NewMessage(role, content, tokens.exact(content), **more)


def _calls(completion: Completion) -> list[dict[str, Any]] | None:
    return [msgspec.to_builtins(call) for call in completion.tool_calls] or None
