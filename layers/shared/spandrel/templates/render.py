"""Interprets a program. The hot path: nothing but the standard library, no parsing, values are data.

`compile` says what a program is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from spandrel.errors import PromptTooLargeError

FORMAT = 1
"""Of programs; a stored one of another format is refused."""

MOST_TEXT = 1_000_000
MOST_STEPS = 500_000
_COPY = 1_000  # what looking at a whole list or object counts for
_SECTIONS = "sections"

Role = Literal["system", "user", "assistant", "history"]
Program = list[Any]


class Rendered(msgspec.Struct, frozen=True):
    """A message of the prompt; `history` (without text) is where the conversation so far goes."""

    role: Role
    text: str


def render(program: Program, values: dict[str, Any], system: dict[str, Any]) -> list[Rendered]:
    """The body split at its roles. What comes before any role is the user's, what follows the history the assistant's.

    `system`: what `@` reads (`date`, `locale`, `user` with `id` and `name`), and `sections` with the text of each.
    Raises `PromptTooLargeError`.
    """
    run = _run(program, values, system)
    if not run.marks:
        return [Rendered("user", text)] if (text := "".join(run.out)).strip() else []
    messages: list[Rendered] = []
    role: Role = "user"
    begin = 0
    for end, after in [*run.marks, (len(run.out), role)]:
        if (text := "".join(run.out[begin:end])).strip():
            messages.append(Rendered(role, text))
        if after == "history":
            messages.append(Rendered("history", ""))
        role, begin = "assistant" if after == "history" else after, end
    return messages


def render_text(program: Program, values: dict[str, Any], system: dict[str, Any]) -> str:
    """A text without roles, such as the query of `spandrel.knowledge`. Raises `PromptTooLargeError`."""
    return "".join(_run(program, values, system).out)


def _run(program: Program, values: dict[str, Any], system: dict[str, Any]) -> _Run:
    version, slots, nodes = program
    if version != FORMAT:
        raise ValueError(f"program of format {version}")
    run = _Run([values, system, *[None] * (slots - 2)])
    run.nodes(nodes)
    if sum(map(len, run.out)) > MOST_TEXT:
        raise PromptTooLargeError
    return run


class _Run:
    """`out`: the pieces. `marks`: where in them a role begins. `slots`: what names lead to, see `scopes`."""

    __slots__ = ("made", "marks", "out", "slots", "steps")

    def __init__(self, slots: list[Any]) -> None:
        self.slots = slots
        self.out: list[str] = []
        self.marks: list[tuple[int, Role]] = []
        self.steps = self.made = 0

    def step(self, count: int) -> None:
        self.steps += count
        if self.steps > MOST_STEPS:
            raise PromptTooLargeError

    def make(self, length: int) -> None:
        """Before a text is made that is no one's yet; those of variables and bodies are only pointed at."""
        self.made += length
        if self.made > MOST_TEXT:
            raise PromptTooLargeError

    def nodes(self, nodes: list[Any]) -> None:
        out, slots = self.out, self.slots
        self.step(len(nodes) + 1)
        for node in nodes:
            if node.__class__ is str:
                out.append(node)
                continue
            kind = node[0]
            if kind == "=":
                value = slots[node[1]]
                for name in node[2:]:
                    value = _step(value, name)
                if value.__class__ is not str:
                    value = _text(value)
                    self.make(len(value))
                out.append(value)
            else:
                _KINDS[kind](self, node)

    def value(self, expression: Any) -> Any:
        if expression.__class__ is not list:
            return expression
        value = self.slots[expression[0]]
        for name in expression[1:]:
            value = _step(value, name)
        return value


def _if(run: _Run, node: Any) -> None:
    value = run.value(node[1])
    # Zero is nothing, an object without members something: JavaScript's rules, apart from empty lists.
    run.nodes(node[2] if value or value.__class__ is dict else node[3])


def _if_zero(run: _Run, node: Any) -> None:
    value = run.value(node[1])
    run.nodes(node[2] if value or value.__class__ is dict or _is_zero(value) else node[3])


def _equal(run: _Run, node: Any) -> None:
    left, right = run.value(node[1]), run.value(node[2])
    if isinstance(left, list | dict):
        run.step(_COPY)
    run.nodes(node[3] if left == right else node[4])


def _each(run: _Run, node: Any) -> None:
    _, expression, slot, body, empty = node
    items = run.value(expression)
    if not items or not isinstance(items, list | dict):
        run.nodes(empty)
        return
    slots, last = run.slots, len(items) - 1
    pairs: Any = items.items() if isinstance(items, dict) else enumerate(items)
    for index, (key, item) in enumerate(pairs):
        slots[slot : slot + 5] = item, key, index, index == 0, index == last
        run.nodes(body)


def _with(run: _Run, node: Any) -> None:
    _, expression, slot, body, empty = node
    value = run.slots[slot] = run.value(expression)
    run.nodes(body if value or value.__class__ is dict or _is_zero(value) else empty)


def _let(run: _Run, node: Any) -> None:
    _, slot, expression, pairs, body = node
    value = run.value(expression)
    if pairs:
        run.step(_COPY)
        passed = {key: run.value(each) for key, each in pairs.items()}
        value = {**value, **passed} if isinstance(value, dict) else passed
    run.slots[slot] = value
    run.nodes(body)


def _indent(run: _Run, node: Any) -> None:
    """Indents every line of the body; nothing follows its last line break. A role's mark counts as something."""
    _, indent, body = node
    out, marks = run.out, run.marks
    run.out, run.marks = [], []
    run.nodes(body)
    inner, waiting = run.out, [*reversed(run.marks)]
    run.out, run.marks = out, marks
    begins = True
    for position in range(len(inner) + 1):
        while waiting and waiting[-1][0] == position:
            if begins:
                out.append(indent)
            marks.append((len(out), waiting.pop()[1]))
            begins = False
        piece = inner[position] if position < len(inner) else ""
        if not piece:
            continue
        breaks = piece.count("\n", 0, -1)
        run.make(len(piece) + breaks * len(indent))
        out.append((indent if begins else "") + piece[:-1].replace("\n", f"\n{indent}") + piece[-1])
        begins = piece[-1] == "\n"


def _json(run: _Run, node: Any) -> None:
    value, width = run.value(node[1]), node[2]
    if width:
        text = json.dumps(value, ensure_ascii=False, indent=width)
    else:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    run.make(len(text))
    run.out.append(text)


def _role(run: _Run, node: Any) -> None:
    run.marks.append((len(run.out), node[1]))


def _section(run: _Run, node: Any) -> None:
    run.out.append((run.slots[1].get(_SECTIONS) or {}).get(node[1], ""))


_KINDS: dict[str, Callable[[_Run, Any], None]] = {
    "if": _if,
    "if0": _if_zero,
    "eq": _equal,
    "each": _each,
    "with": _with,
    "let": _let,
    "indent": _indent,
    "json": _json,
    "role": _role,
    "section": _section,
}


def _step(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return value.get(name)
    if isinstance(value, list) and name.isdecimal() and len(name) < 10 and int(name) < len(value):
        return value[int(name)]
    return None


def _is_zero(value: Any) -> bool:
    return isinstance(value, int | float) and value is not False


def _text(value: Any) -> str:
    """As JavaScript writes it."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return "[object Object]" if isinstance(value, dict) else str(value)
