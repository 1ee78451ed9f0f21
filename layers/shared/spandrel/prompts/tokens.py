"""Token counts of a prompt by section: exact where a tokenizer may be loaded, else estimated."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from spandrel.prompts.models import Message, TokenCounts, Tool

MESSAGE_OVERHEAD = 4
"""Tokens that frame a message (OpenAI cookbook, "How to count tokens with tiktoken")."""
BYTES_A_TOKEN = 4


def estimate(text: str) -> int:
    """A quarter of the text's UTF-8 length: some 10 % off for English prose, more for code and other scripts."""
    return -(-len(text.encode()) // BYTES_A_TOKEN)


def exact(text: str) -> int:
    """By cl100k_base. The first call of a process loads the vocabulary, which takes some 0.2 s."""
    from spandrel.knowledge.ingest.tokens import count

    return count(text)


def count_sections(messages: Iterable[Message], tools: Iterable[Tool], *, count: Callable[[str], int]) -> TokenCounts:
    sections = dict.fromkeys(("instructions", "capabilities", "examples", "history", "knowledge", "input"), 0)
    for message in messages:
        sections[message.section] += count(message.content) + MESSAGE_OVERHEAD
    described = list(tools)
    offered = count(msgspec.json.encode(described).decode()) if described else 0
    return TokenCounts(
        **sections,
        tools=offered,
        total=sum(sections.values()) + offered,
        method="cl100k_base" if count is exact else "estimate",
    )
