"""Compiles a body into a program: nested lists that `render` interprets, with partials inlined and names resolved.

A program is `[FORMAT, slots, nodes]`. A node is a text, or a list that begins with what it does:

    ["=", slot, *names]                        print
    ["json", expression, indent]               print as JSON
    ["if", expression, then, otherwise]        "if0": zero counts as something
    ["eq", a, b, then, otherwise]
    ["each", expression, slot, body, empty]    five slots: item, key, index, first, last
    ["with", expression, slot, body, empty]
    ["let", slot, expression, {key: expression}, body]
    ["indent", text, body]
    ["role", name]  ["section", name]          history is a role

An expression is `[slot, *names]`, or a literal as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from spandrel.templates.body import Body
from spandrel.templates.models import PartialSource, Role
from spandrel.templates.render import FORMAT
from spandrel.templates.scan import Report, Token, scan
from spandrel.templates.scopes import ROOT, SYSTEM, Place, Scope, Variables

MOST_NODES = 50_000
MOST_TEXT = 1_000_000
MOST_PARTIALS = 50

Lookup = Callable[[str], tuple[PartialSource, str] | None]
"""A partial and its body; None if there is none of that name."""


@dataclass(slots=True)
class Compilation:
    """What the bodies of one program share. `plain`: a text without roles, as a query is."""

    variables: Variables
    lookup: Lookup
    plain: bool = False
    slots: int = SYSTEM + 1
    roles: dict[Role, None] = field(default_factory=dict)
    sections: dict[str, None] = field(default_factory=dict)
    partials: dict[str, tuple[PartialSource, list[Token]] | None] = field(default_factory=dict)
    _nodes: int = 0
    _text: int = 0

    def plainly(self) -> Compilation:
        """One for a text beside the body, with the same variables and partials."""
        return Compilation(self.variables, self.lookup, plain=True, partials=self.partials)

    def take(self, slots: int) -> int:
        """The first of so many new slots."""
        self.slots += slots
        return self.slots - slots

    def has_room(self, text: int) -> bool:
        """Counts one piece more, of `text` characters; False if they are too many by now."""
        self._nodes, self._text = self._nodes + 1, self._text + text
        return self._nodes <= MOST_NODES and self._text <= MOST_TEXT

    def partial(self, name: str, report: Report) -> tuple[PartialSource, list[Token]] | None:
        if name not in self.partials and len(self.partials) < MOST_PARTIALS:
            found = self.lookup(name)
            self.partials[name] = (found[0], scan(found[1], report)) if found else None
        return self.partials.get(name)


def compile_body(body: str, compilation: Compilation, report: Report, itself: str | None = None) -> list[Any]:
    """The program of a body. `report` is told what is wrong, with its offset. `itself`: the name of a partial saved."""
    place = Place((Scope(ROOT, root=True),))
    nodes = Body(compilation, report, place, (itself,) if itself else ()).compile(scan(body, report))
    return [FORMAT, compilation.slots, nodes]
