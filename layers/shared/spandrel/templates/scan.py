"""A body's text as pieces and tags, white space settled: `~`, and tags that stand alone on their line.

https://handlebarsjs.com/guide/expressions.html#whitespace-control
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

Report = Callable[[int, str, str], None]
MARKER = "<<<dotprompt:"
_STANDS_ALONE = re.compile(r"[!#/>^]|else(?:\s|$)")
_REST_OF_LINE = re.compile(r"[ \t]*(?:\r?\n|\Z)")
_CLOSE = {"{{": re.compile(r"~?\}\}"), "{{{": re.compile(r"\}~?\}\}"), "{{!--": re.compile(r"--~?\}\}")}


@dataclass(slots=True)
class Tag:
    """`body`: between the braces. `indent`: what a partial alone on its line is indented by."""

    body: str
    offset: int
    strips_before: bool = False
    strips_after: bool = False
    indent: str = ""


Token = str | Tag


def scan(text: str, report: Report) -> list[Token]:
    """`report` takes offset, code and message of what is wrong; scanning goes on after it."""
    at = text.find(MARKER)
    if at >= 0:
        report(
            at, "unsupported", f'"{MARKER}" marks roles in what dotprompt renders; write {{{{role "..."}}}} instead.'
        )
    tokens = _tokens(text, report)
    _strip(tokens)
    _drop_lines(tokens)
    return tokens


def _tokens(text: str, report: Report) -> list[Token]:
    tokens: list[Token] = []
    held: list[str] = []  # the pieces of one text
    position = 0
    while (start := text.find("{{", position)) >= 0:
        before = text[position:start]
        slashes = len(before) - len(before.rstrip("\\"))
        if slashes == 1:  # \{{ stands for the braces themselves
            held += before[:-1], "{{"
            position = start + 2
            continue
        held.append(before[:-1] if slashes else before)  # \\{{ is a backslash and a tag
        tag, position = _tag(text, start, report)
        if together := "".join(held):
            tokens.append(together)
        tokens.append(tag)
        held.clear()
    if together := "".join(held) + text[position:]:
        tokens.append(together)
    return tokens


def _tag(text: str, start: int, report: Report) -> tuple[Tag, int]:
    """The tag that begins at `start`, and where it ends. One that cannot be told is a comment."""
    opening = "{{"
    inside = start + 2
    strips_before = text.startswith("~", inside)
    inside += strips_before
    if text.startswith("{{{{", start):
        report(start, "unsupported", "Raw blocks are not supported. Write \\{{ for the braces themselves.")
        end = text.find("}}}}", start)
        return Tag("!", start), end + 4 if end >= 0 else len(text)
    if text.startswith("!--", inside):
        opening, inside = "{{!--", inside + 3
    elif text.startswith("{", inside):
        opening, inside = "{{{", inside + 1
    close = _CLOSE[opening].search(text, inside)
    if close is None:
        report(start, "unclosed_tag", f"The tag that {opening} opens here is never closed.")
        return Tag("!", start), len(text)
    body = "!" if opening == "{{!--" else text[inside : close.start()].strip()
    return Tag(body, start, strips_before, "~" in close.group()), close.end()


def _strip(tokens: list[Token]) -> None:
    for index, tag in enumerate(tokens):
        if isinstance(tag, str):
            continue
        if tag.strips_before and index and isinstance(text := tokens[index - 1], str):
            tokens[index - 1] = text.rstrip()
        if tag.strips_after and index + 1 < len(tokens) and isinstance(text := tokens[index + 1], str):
            tokens[index + 1] = text.lstrip()


def _drop_lines(tokens: list[Token]) -> None:
    """Blocks, partials and comments that stand alone leave no empty line.

    Which do is decided before any line is dropped: the end of one tag's line must not hide the beginning of the next.
    """
    alone: list[tuple[int, int]] = []
    for index, tag in enumerate(tokens):
        if isinstance(tag, str) or not _STANDS_ALONE.match(tag.body) or not _begins_line(tokens, index):
            continue
        length = _rest_of_line(tokens, index)
        if length is not None:
            alone.append((index, length))
            if tag.body.startswith(">") and index:
                tag.indent = _text(tokens[index - 1]).rpartition("\n")[2]
    for index, length in alone:
        if index and isinstance(before := tokens[index - 1], str):
            tokens[index - 1] = before[: before.rfind("\n") + 1]
        if length:
            tokens[index + 1] = _text(tokens[index + 1])[length:]


def _begins_line(tokens: list[Token], index: int) -> bool:
    if index == 0:
        return True
    before = tokens[index - 1]
    if not isinstance(before, str):
        return False
    _, newline, tail = before.rpartition("\n")
    return not tail.strip(" \t") and (bool(newline) or index == 1)


def _rest_of_line(tokens: list[Token], index: int) -> int | None:
    """How much to drop after a tag that ends its line; None if it does not."""
    if index + 1 == len(tokens):
        return 0
    rest = _REST_OF_LINE.match(_text(tokens[index + 1])) if isinstance(tokens[index + 1], str) else None
    return rest.end() if rest else None


def _text(token: Token) -> str:
    return token if isinstance(token, str) else ""
