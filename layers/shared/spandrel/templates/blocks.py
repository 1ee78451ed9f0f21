"""The blocks: what each opens, and what its body sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spandrel.templates.scopes import ITEM, KEY, Expression, Place, Schema, Scope, items_of
from spandrel.templates.tags import Call, Literal, TagError

if TYPE_CHECKING:
    from spandrel.templates.body import Body

DEEPEST = 50


@dataclass(slots=True)
class Block:
    """An open block. `nodes` and `place` are those around it. `chained`: an `else if`, closed with its chain."""

    name: str
    offset: int
    nodes: list[Any]
    place: Place
    chained: bool = False
    then: list[Any] = field(default_factory=list)
    otherwise: list[Any] | None = field(default_factory=list)


Opened = tuple[list[Any], Place]
"""The node, and what is seen in its body."""


def open_block(body: Body, call: Call, offset: int, *, chained: bool = False) -> None:
    """Raises `TagError`, after which the block is open all the same, so that its end is no further fault."""
    if len(body.open) + body.depth >= DEEPEST:
        raise TagError(f"Blocks may be nested {DEEPEST} deep.", "too_deep")
    block = Block(call.name, offset, body.nodes, body.place, chained)
    body.open.append(block)
    body.nodes = block.then
    opener = BLOCKS.get(call.name)
    if opener is None:
        known = ", ".join(f"#{name}" for name in BLOCKS)
        raise TagError(f'There is no block "#{call.name}". There are {known}.', "unknown_helper")
    node, body.place = opener(body, call, block)
    block.nodes.append(node)


def close_block(body: Body, name: str) -> None:
    """Raises `TagError` if no block of that name is open; blocks left open inside it are reported."""
    if not any(block.name == name and not block.chained for block in body.open):
        expected = next((block.name for block in reversed(body.open) if not block.chained), None)
        told = f"{{{{/{expected}}}}} is expected here." if expected else "No block is open here."
        raise TagError(f"{{{{/{name}}}}} closes nothing. {told}", "mismatched_block")
    while True:
        block = body.open.pop()
        body.nodes, body.place = block.nodes, block.place
        if block.chained:
            continue
        if block.name == name:
            return
        body.report_unclosed(block)


def begin_else(body: Body, condition: Call | None, offset: int) -> None:
    """`{{else}}`, or the next of a chain with its condition. Raises `TagError`."""
    if not body.open:
        raise TagError("{{else}} is outside of every block.", "mismatched_block")
    block = body.open[-1]
    if block.otherwise is None:
        raise TagError("This block has had its {{else}} already.", "mismatched_block")
    body.nodes, body.place, block.otherwise = block.otherwise, block.place, None
    if condition is not None:
        if condition.name not in ("if", "unless"):
            raise TagError("Only {{else if ...}} and {{else unless ...}} can follow.", "unsupported")
        open_block(body, condition, offset, chained=True)


def _expect(call: Call, arguments: int, *, params: int = 0, pairs: tuple[str, ...] = ()) -> None:
    if len(call.arguments) != arguments:
        some = "one argument" if arguments == 1 else "two arguments"
        raise TagError(f"#{call.name} takes {some}, not {len(call.arguments)}.", "arguments")
    for pair in call.pairs:
        if pair not in pairs:
            raise TagError(f'#{call.name} takes no "{pair}=".', "arguments")
    if call.params is not None and not 1 <= len(call.params) <= params:
        raise TagError(f"#{call.name} takes {params or 'no'} block parameters.", "arguments")


def _if(body: Body, call: Call, block: Block) -> Opened:
    _expect(call, 1, pairs=("includeZero",))
    expression, _ = body.resolve(call.arguments[0], "test")
    zero = call.pairs.get("includeZero")
    kind = "if0" if isinstance(zero, Literal) and zero.value is True else "if"
    branches = [block.then, block.otherwise]
    return [kind, expression, *(reversed(branches) if call.name == "unless" else branches)], body.place


def _equals(body: Body, call: Call, block: Block) -> Opened:
    _expect(call, 2)
    (left, _), (right, _) = (body.resolve(argument, "any") for argument in call.arguments)
    branches = [block.then, block.otherwise]
    return ["eq", left, right, *(reversed(branches) if call.name == "unlessEquals" else branches)], body.place


def _each(body: Body, call: Call, block: Block) -> Opened:
    _expect(call, 1, params=2)
    expression, schema = body.resolve(call.arguments[0], "each")
    slot, item = body.take(5), items_of(schema)
    place = body.place.inside(Scope(slot + ITEM, item)).in_loop(slot)
    names = dict(zip(call.params or (), ((slot + ITEM, item), (slot + KEY, {})), strict=False))
    return ["each", expression, slot, block.then, block.otherwise], place.with_params(names)


def _with(body: Body, call: Call, block: Block) -> Opened:
    _expect(call, 1, params=1)
    expression, schema = body.resolve(call.arguments[0], "any")
    slot = body.take(1)
    names: dict[str, tuple[int, Schema]] = dict.fromkeys(call.params or (), (slot, schema))
    node: Expression = ["with", expression, slot, block.then, block.otherwise]
    return node, body.place.inside(Scope(slot, schema)).with_params(names)


BLOCKS: dict[str, Callable[[Body, Call, Block], Opened]] = {
    "if": _if,
    "unless": _if,
    "each": _each,
    "with": _with,
    "ifEquals": _equals,
    "unlessEquals": _equals,
}
