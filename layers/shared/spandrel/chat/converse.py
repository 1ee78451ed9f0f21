"""What the model reads in a turn: instructions, summary, history, passages and the question, stable parts in front."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from spandrel.chat.models import ChatMessage, ToolCall
from spandrel.chat.store import NewSummary, PastMessage, Work
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


def past(messages: Sequence[PastMessage]) -> list[ChatMessage]:
    return [
        ChatMessage(
            message.role,  # type: ignore[arg-type]
            message.content,
            tuple(msgspec.convert(message.tool_calls or [], list[ToolCall])),
            message.tool_call_id,
        )
        for message in messages
    ]


def conversation(
    work: Work, kept: Sequence[PastMessage], summary: NewSummary | None, passages: Sequence[Passage], asked: Question
) -> list[ChatMessage]:
    told = summary.content if summary else work.summary.content if work.summary else None
    messages = opening(work)
    messages += [summary_message(told)] if told else []
    messages += past(kept)
    messages += [ChatMessage("system", passages_message(passages).content)] if passages else []
    return messages + [ChatMessage(message.role, message.content) for message in asked.messages]


def citations(text: str, passages: Sequence[Passage]) -> list[dict[str, Any]] | None:
    """The passages that `text` names by [n], in order of their numbers; None: it names none."""
    named = {int(number) for number in _CITATION.findall(text)}
    cited = [msgspec.to_builtins(passage) for passage in passages if passage.number in named]
    return cited or None
