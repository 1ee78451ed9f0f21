"""One body, tag by tag: the source's own, or a partial's in the place where it is included."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from spandrel.templates.blocks import BLOCKS, Block, begin_else, close_block, open_block
from spandrel.templates.models import Role
from spandrel.templates.scan import Report, Tag, Token
from spandrel.templates.scopes import Expression, Place, Schema, Scope
from spandrel.templates.tags import Argument, Call, Literal, TagError, parse_tag

if TYPE_CHECKING:
    from spandrel.templates.compile import Compilation

DEEPEST_PARTIAL = 8
ROLES: dict[Any, Role] = {"system": "system", "user": "user", "model": "assistant"}
_ELSE = re.compile(r"else(?:\s+(.*))?", re.DOTALL)
_PARTIAL = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([^\s"'()]+))(?:\s(.*))?""", re.DOTALL)
_SECTION = re.compile(r"[A-Za-z0-9_.-]{1,100}")


class Body:
    """`chain`: the partials that lead here. `depth`: of the blocks around them."""

    def __init__(
        self, compilation: Compilation, report: Report, place: Place, chain: tuple[str, ...], depth: int = 0
    ) -> None:
        self.place, self.depth = place, depth
        self.nodes: list[Any] = []
        self.open: list[Block] = []
        self._compilation, self._report, self._chain = compilation, report, chain
        self._offset = 0

    def compile(self, tokens: list[Token]) -> list[Any]:
        nodes = self.nodes
        for token in tokens:
            if not self._compilation.has_room(len(token) if isinstance(token, str) else 0):
                self._report(self._offset, "too_large", "Together with its partials the template is too large.")
                return nodes
            if isinstance(token, str):
                self._text(token)
                continue
            self._offset = token.offset
            try:
                self._tag(token)
            except TagError as error:
                self._report(token.offset, error.code, str(error))
                if error.code == "too_deep":
                    return nodes
        for block in self.open:
            if not block.chained:
                self.report_unclosed(block)
        return nodes

    def report_unclosed(self, block: Block) -> None:
        self._report(block.offset, "unclosed_block", f"{{{{#{block.name}}}}} is never closed.")

    def resolve(self, argument: Argument, use: str) -> tuple[Expression, Schema]:
        return self._compilation.variables.resolve(argument, self.place, use)

    def take(self, slots: int) -> int:
        return self._compilation.take(slots)

    def _text(self, text: str) -> None:
        if text.strip():
            self._speak()
        if self.nodes and isinstance(self.nodes[-1], str):
            self.nodes[-1] += text
        elif text:
            self.nodes.append(text)

    def _speak(self) -> None:
        """What comes before any role is the user's."""
        if not self._compilation.roles:
            self._compilation.roles["user"] = None

    def _tag(self, tag: Tag) -> None:
        body = tag.body
        if body.startswith("!"):
            return
        if body.startswith(("*", "#*")):
            raise TagError("Decorators and inline partials are not supported.", "unsupported")
        if body.startswith("^"):
            raise TagError("Write {{else}} or {{#unless ...}} instead of ^.", "unsupported")
        if body.startswith("#"):
            self._open(body[1:], tag.offset)
        elif body.startswith("/"):
            close_block(self, body[1:].strip())
        elif body.startswith(">"):
            self._partial(body[1:], tag.indent)
        elif found := _ELSE.fullmatch(body):
            begin_else(self, parse_tag(found[1]) if found[1] else None, tag.offset)
        else:
            self._mustache(parse_tag(body.removeprefix("&")))

    def _open(self, header: str, offset: int) -> None:
        try:
            if header.startswith(">"):
                raise TagError("Partial blocks are not supported. Write {{> name}}.", "unsupported")
            call = parse_tag(header)
        except TagError as error:
            name = header.removeprefix(">").split(maxsplit=1)
            self.open.append(Block(name[0] if name else "", offset, self.nodes, self.place))
            self.nodes = []
            raise error from None
        open_block(self, call, offset)

    def _mustache(self, call: Call) -> None:
        if call.name in ("role", "history", "section"):
            self._structural(call)
        elif call.name == "json":
            self._json(call)
        elif isinstance(call.subject, Literal):
            raise TagError(f"{call.name} is not the name of a variable.")
        elif call.arguments or call.pairs or call.params is not None:
            told = (
                f"Write {{{{#{call.name} ...}}}}." if call.name in BLOCKS else "There are json, role, history, section."
            )
            raise TagError(f'There is no helper "{call.name}". {told}', "unknown_helper")
        else:
            expression, schema = self.resolve(call.subject, "print")
            if schema.get("type") == "object":
                raise TagError(f'"{call.name}" is an object. Write {{{{json {call.name}}}}}.', "not_printable")
            self._speak()
            self.nodes.append(["=", *expression])

    def _json(self, call: Call) -> None:
        indent = call.pairs.pop("indent", Literal(0))
        width = indent.value if isinstance(indent, Literal) else None
        if len(call.arguments) != 1 or call.pairs or call.params is not None:
            raise TagError("json takes one argument, and indent= if wanted.", "arguments")
        if not isinstance(width, int) or not 0 <= width <= 10:
            raise TagError("indent= takes a number from 0 to 10.", "arguments")
        self.nodes.append(["json", self.resolve(call.arguments[0], "any")[0], int(width)])

    def _structural(self, call: Call) -> None:
        """Roles, history and sections: what divides a prompt, and therefore is never a variable's to say."""
        if self._compilation.plain:
            raise TagError(f"A query has no {call.name}.", "unsupported")
        given = call.arguments[0].value if len(call.arguments) == 1 and isinstance(call.arguments[0], Literal) else None
        if call.pairs or call.params is not None or len(call.arguments) != (call.name != "history"):
            raise TagError(f"Write {_HOW[call.name]}.", "arguments")
        if call.name == "history":
            self._role("history")
        elif call.name == "role":
            if given not in ROLES:
                raise TagError('A role is "system", "user" or "model", in quotes.', "unknown_role")
            self._role(ROLES[given])
        else:
            if not isinstance(given, str) or not _SECTION.fullmatch(given):
                raise TagError("A section's name is in quotes: letters, digits, _ . and -.", "arguments")
            self._compilation.sections[given] = None
            self.nodes.append(["section", given])

    def _role(self, role: Role) -> None:
        self._compilation.roles[role] = None
        self.nodes.append(["role", role])

    def _partial(self, header: str, indent: str) -> None:
        found = _PARTIAL.fullmatch(header)
        if found is None:
            raise TagError("A partial is included by its name: {{> name}}.")
        name = found[1] or found[2] or found[3] or ""
        call = parse_tag(f"partial {found[4] or ''}")
        if len(call.arguments) > 1 or call.params is not None:
            raise TagError("A partial takes one context at most, and key=value pairs.", "arguments")
        scope, wrap = self._context(call)
        if name in self._chain:
            raise TagError(f"The partials include each other: {' > '.join((*self._chain, name))}.", "partial_cycle")
        if len(self._chain) >= DEEPEST_PARTIAL:
            raise TagError(f"Partials may be nested {DEEPEST_PARTIAL} deep.", "partial_depth")

        def report(_: int, code: str, message: str) -> None:
            self._report(self._offset, code, f'In the partial "{name}": {message}')

        partial = self._compilation.partial(name, report)
        if partial is None:
            raise TagError(f'There is no partial "{name}".', "unknown_partial")
        place, depth = Place((scope,), loops=self.place.loops), self.depth + len(self.open) + 1
        nodes = Body(self._compilation, report, place, (*self._chain, name), depth).compile(partial[1])
        if wrap is not None:
            nodes = [[*wrap, nodes]]
        self._include([["indent", indent, nodes]] if indent else nodes)

    def _context(self, call: Call) -> tuple[Scope, list[Any] | None]:
        """What a partial sees, and the node that brings it about, without its body; None if it sees what is here."""
        around = self.place.scopes[-1]
        if not call.arguments and not call.pairs:
            return around, None
        passed = {key: self.resolve(argument, "any") for key, argument in call.pairs.items()}
        overlay = {key: schema for key, (_, schema) in passed.items()}
        slot, base = self.take(1), [around.slot]
        if call.arguments:
            base, schema = self.resolve(call.arguments[0], "any")
            scope = Scope(slot, schema, overlay=overlay)
        else:
            scope = Scope(slot, around.schema, around.root, {**around.overlay, **overlay})
        return scope, ["let", slot, base, {key: expression for key, (expression, _) in passed.items()}]

    def _include(self, nodes: list[Any]) -> None:
        for node in nodes:
            if isinstance(node, str):
                self._text(node)
            else:
                self.nodes.append(node)


_HOW = {"role": '{{role "system"}}', "history": "{{history}}", "section": '{{section "name"}}'}
