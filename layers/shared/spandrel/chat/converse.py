"""What the model reads in a turn: instructions, summary, history, passages and the question, stable parts in front."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from spandrel.chat.models import ChatMessage, ToolCall
from spandrel.chat.store import NewSummary
from spandrel.chat.tools import GUARD
from spandrel.chat.work import NewMessage, PastMessage, Work
from spandrel.prompts.capabilities import map_capabilities
from spandrel.prompts.compose import lacking_message, passages_message
from spandrel.prompts.models import Message, Passage

_CITATION = re.compile(r"\[(\d{1,2})\]")


@dataclass(frozen=True, slots=True)
class Question:
    """What the turn adds to the line before the answer; `text` is what passages are retrieved for."""

    messages: list[Message]

    @property
    def text(self) -> str:
        return "\n".join(message.content for message in self.messages if message.role == "user")


def question(work: Work) -> Question:
    """The user's own words, or in a turn that the template began what it puts behind the history."""
    if work.kind == "message":
        return Question([Message("user", work.input or "", "input")])
    return Question([message for message in work.prompt.after if message.section == "input"])


def opening(work: Work) -> list[ChatMessage]:
    """Instructions and examples, with what cannot be done at this moment."""
    stable = [message for message in work.prompt.before if message.section != "capabilities"]
    lacking = lacking_message(map_capabilities(work.wanted, work.tools))
    ordered = [message for message in stable if message.section == "instructions"] + lacking
    ordered += [message for message in stable if message.section != "instructions"]
    return [ChatMessage(message.role, message.content) for message in ordered]


def summary_message(summary: str) -> ChatMessage:
    return ChatMessage("system", f"Summary of the conversation before what follows:\n{summary}")


def spoken(messages: Sequence[PastMessage | NewMessage]) -> list[ChatMessage]:
    return [
        ChatMessage(
            message.role,  # type: ignore[arg-type]
            message.content,
            tuple(msgspec.convert(message.tool_calls or [], list[ToolCall])),
            message.tool_call_id,
        )
        for message in messages
    ]


def open_calls(said: Sequence[NewMessage]) -> list[ToolCall]:
    """The calls that have no result yet."""
    answered = {message.tool_call_id for message in said if message.role == "tool"}
    return [call for message in spoken(said) for call in message.tool_calls if call.id not in answered]


def distinct(calls: Sequence[ToolCall], said: Sequence[NewMessage]) -> list[ToolCall]:
    """The calls under ids that no other call of the turn has: what was decided on one must not hold for another."""
    taken = {call.id for message in spoken(said) for call in message.tool_calls}
    told: list[ToolCall] = []
    for call in calls:
        identity, number = call.id, 2
        while identity in taken:
            identity, number = f"{call.id}_{number}", number + 1
        taken.add(identity)
        told.append(replace(call, id=identity))
    return told


def conversation(
    work: Work,
    kept: Sequence[PastMessage],
    summary: NewSummary | None,
    passages: Sequence[Passage],
    asked: Question,
    tools: bool = False,
) -> list[ChatMessage]:
    """`tools`: some are offered. Where they are, or were, the model is told what their results are worth."""
    told = summary.content if summary else work.summary.content if work.summary else None
    messages = opening(work)
    messages += [ChatMessage("system", GUARD)] if tools or any(message.role == "tool" for message in kept) else []
    messages += [summary_message(told)] if told else []
    messages += spoken(kept)
    messages += [ChatMessage("system", passages_message(passages).content)] if passages else []
    return messages + [ChatMessage(message.role, message.content) for message in asked.messages]


def citations(text: str, passages: Sequence[Passage]) -> list[dict[str, Any]] | None:
    """The passages that `text` names by [n], in order of their numbers; None: it names none."""
    named = {int(number) for number in _CITATION.findall(text)}
    cited = [msgspec.to_builtins(passage) for passage in passages if passage.number in named]
    return cited or None
