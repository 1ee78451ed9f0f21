"""The stand-in for a language model: it quotes the passages that it was given and says that it is no model.

The same conversation always gets the same answer. What it says depends on the whole conversation, so that a test can
see that history, passages, tools and their results have arrived.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from local.model_embeddings import BadRequestError, Embedder, token_count
from local.model_tools import ToolCall, calls_for

STAND_IN = "This is Spandrel's built-in stand-in model, not a language model."
QUOTES = 3
QUOTE_CHARACTERS = 300
_PASSAGE = re.compile(r"^\[(\d+)\] (.+)$")
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*\s*")


@dataclass(frozen=True, slots=True)
class Passage:
    number: int
    source: str
    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    text: str
    calls: list[ToolCall]
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str


def reply(embedder: Embedder, body: dict[str, Any]) -> Reply:
    """The answer to one `POST /v1/chat/completions`."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(each, dict) for each in messages):
        raise BadRequestError("messages must be a list of messages")
    tools = [tool["function"] for tool in body.get("tools") or []] if body.get("tool_choice") != "none" else []
    given = sum(token_count(_text(message)) + 4 for message in messages) + sum(token_count(str(tool)) for tool in tools)
    if calls := [] if messages[-1].get("role") == "tool" else calls_for(_asked(messages), tools):
        made = sum(token_count(call.name + call.arguments) for call in calls)
        return Reply("", calls, given, made, "tool_calls")
    words = list(pieces(_say(embedder, messages)))
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or len(words)
    finish_reason = "length" if len(words) > limit else "stop"
    text = "".join(words[:limit])
    return Reply(text, [], given, token_count(text), finish_reason)


def pieces(text: str) -> Iterator[str]:
    """Word by word, each with the blanks after it."""
    yield from re.findall(r"\S+\s*|\s+", text)


def _say(embedder: Embedder, messages: list[dict[str, Any]]) -> str:
    if messages[-1].get("role") == "tool":
        return f"{STAND_IN}\n\n{_results(messages)}"
    question, passages = _asked(messages), list(_passages(messages))
    if not passages:
        return f"{STAND_IN} No passages were given to it. {_echo(messages)}"
    best = _nearest(embedder, question, passages)
    quotes = "\n\n".join(f"> {_quote(embedder, question, passage.text)} [{passage.number}]" for passage in best)
    sources = "; ".join(f"[{passage.number}] {passage.source}" for passage in best)
    return f"{STAND_IN} It quotes what comes nearest to the question.\n\n{quotes}\n\nSources: {sources}"


def _echo(messages: list[dict[str, Any]]) -> str:
    asked = [_text(message) for message in messages if message.get("role") == "user"]
    said = f'This is turn {len(asked)} of the conversation, and you said: "{asked[-1] if asked else ""}"'
    return f'{said} Before that: "{asked[-2]}"' if len(asked) > 1 else said


def _results(messages: list[dict[str, Any]]) -> str:
    """What the tools answered since the assistant called them."""
    names = {call["id"]: call["function"]["name"] for message in messages for call in message.get("tool_calls") or []}
    last = max((n for n, message in enumerate(messages) if message.get("role") != "tool"), default=-1)
    return "\n\n".join(
        f'{names.get(message.get("tool_call_id"), "A tool")} answered: "{_text(message)}"'
        for message in messages[last + 1 :]
    )


def _asked(messages: list[dict[str, Any]]) -> str:
    return next((_text(message) for message in reversed(messages) if message.get("role") == "user"), "")


def _text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in content)


def _passages(messages: list[dict[str, Any]]) -> Iterator[Passage]:
    """Blocks `[n] source`, numbered in order, and the text below each, which may have such marks of its own."""
    for message in messages:
        if message.get("role") not in ("system", "developer"):
            continue
        number, source, lines = 0, "", list[str]()
        for line in _text(message).split("\n"):
            head = _PASSAGE.match(line)
            if head and (not number or int(head[1]) == number + 1):
                if number:
                    yield Passage(number, source, "\n".join(lines).strip())
                number, source, lines = int(head[1]), head[2].strip(), []
            else:
                lines.append(line)
        if number:
            yield Passage(number, source, "\n".join(lines).strip())


def _nearest(embedder: Embedder, question: str, passages: list[Passage]) -> list[Passage]:
    """The best few, without those that are far behind the first; in the order of their numbers."""
    scores = _scores(embedder, question, [f"{passage.source}\n{passage.text}" for passage in passages])
    ranked = sorted(zip(scores, passages, strict=True), key=lambda pair: (-pair[0], pair[1].number))[:QUOTES]
    best = [passage for score, passage in ranked if score >= ranked[0][0] / 2]
    return sorted(best, key=lambda passage: passage.number)


def _quote(embedder: Embedder, question: str, text: str) -> str:
    """The passage's words from its nearest sentence on, as they stand there but for line breaks."""
    sentences = _SENTENCE.findall(text) or [text]
    scores = _scores(embedder, question, sentences)
    first = max(range(len(sentences)), key=lambda index: scores[index])
    quote = sentences[first]
    for sentence in sentences[first + 1 :]:
        if len(quote) + len(sentence) > QUOTE_CHARACTERS:
            break
        quote += sentence
    return " ".join(quote.split())


def _scores(embedder: Embedder, question: str, texts: list[str]) -> list[float]:
    asked, *rows = embedder.embed([question, *texts])
    return [float(row @ asked) for row in rows]
