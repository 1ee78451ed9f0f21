"""The model's window: the newest of the history that fits, and a summary of what does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spandrel.chat.work import PastMessage

FRAME_TOKENS = 4
"""What a message costs beyond its text."""


@dataclass(frozen=True, slots=True)
class Window:
    """`dropped` is older than all of `kept`. Neither cuts an exchange: `kept` begins with a user's message."""

    dropped: list[PastMessage]
    kept: list[PastMessage]


def fit(history: Sequence[PastMessage], tokens: int) -> Window:
    """The longest end of `history` of at most `tokens` tokens that begins with what a user said."""
    begin, left = len(history), tokens
    for index in range(len(history) - 1, -1, -1):
        left -= history[index].token_count + FRAME_TOKENS
        if left < 0:
            break
        if history[index].role == "user" or index == 0:
            begin = index
    return Window(list(history[:begin]), list(history[begin:]))


SUMMARY_INSTRUCTIONS = (
    "Summarise the conversation so far for the assistant that continues it. Keep names, numbers, decisions, open "
    "questions and what the user asked for. Do not invent anything. At most 300 words."
)


def transcript(dropped: Sequence[PastMessage], summary: str | None) -> str:
    """What is to be summarised, as text."""
    lines = [f"Summary of what came before:\n{summary}"] if summary else []
    lines += [f"{message.role}: {message.content}" for message in dropped if message.content]
    return "\n\n".join(lines)
