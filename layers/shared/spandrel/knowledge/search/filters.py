"""Filters on document attributes, compiled to a jsonpath predicate and its variables (PostgreSQL manual, 9.16.2).

Operands travel as variables and attribute names as quoted keys, so nothing of a filter is ever read as code. An
attribute that holds a list matches if one of its items does; `ne` and `nin` also match where the attribute is missing.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from spandrel.errors import InvalidRequestError

MAX_DEPTH = 8
MAX_CONDITIONS = 64

Scalar = str | int | float | bool | None
Items = Annotated[list[Scalar], msgspec.Meta(min_length=1, max_length=200)]
_COMPARISONS = {"eq": "==", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


class Condition(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What one attribute must satisfy; several operators must all hold."""

    eq: Scalar | msgspec.UnsetType = msgspec.UNSET
    ne: Scalar | msgspec.UnsetType = msgspec.UNSET
    gt: str | int | float | msgspec.UnsetType = msgspec.UNSET
    gte: str | int | float | msgspec.UnsetType = msgspec.UNSET
    lt: str | int | float | msgspec.UnsetType = msgspec.UNSET
    lte: str | int | float | msgspec.UnsetType = msgspec.UNSET
    in_: Items | msgspec.UnsetType = msgspec.field(name="in", default=msgspec.UNSET)
    nin: Items | msgspec.UnsetType = msgspec.UNSET


Filter = dict[str, Any]
"""`{"<attribute>": <value> | {"<operator>": <operand>}, …}`, all of which must hold; `{"and": [...]}`, `{"or":
[...]}` nest.
"""


class _Compiler:
    def __init__(self) -> None:
        self.variables: dict[str, Any] = {}
        self.conditions = 0

    def group(self, node: object, depth: int) -> str:
        if depth > MAX_DEPTH:
            raise InvalidRequestError(f"The filter is nested more than {MAX_DEPTH} deep.")
        if not isinstance(node, dict) or not node:
            raise InvalidRequestError("A filter is an object that names at least one attribute, or has and/or.")
        return " && ".join(self._entry(key, value, depth) for key, value in node.items())

    def _entry(self, key: str, value: object, depth: int) -> str:
        if key in ("and", "or"):
            if not isinstance(value, list) or not value:
                raise InvalidRequestError(f'"{key}" takes a list of at least one filter.')
            joint = " && " if key == "and" else " || "
            return "(" + joint.join(f"({self.group(item, depth + 1)})" for item in value) + ")"
        if not isinstance(value, dict):
            value = {"in": value} if isinstance(value, list) else {"eq": value}
        try:
            condition = msgspec.convert(value, Condition)
        except msgspec.ValidationError as error:
            raise InvalidRequestError(f'The condition on "{key}" cannot be read: {error}') from error
        operators = msgspec.structs.asdict(condition)
        tests = [self._test(key, name, operand) for name, operand in operators.items() if operand is not msgspec.UNSET]
        if not tests:
            raise InvalidRequestError(f'The condition on "{key}" has no operator.')
        return "(" + " && ".join(tests) + ")"

    def _test(self, key: str, operator: str, operand: Any) -> str:
        self.conditions += 1
        if self.conditions > MAX_CONDITIONS:
            raise InvalidRequestError(f"The filter has more than {MAX_CONDITIONS} conditions.")
        path = f"$.{msgspec.json.encode(_storable(key)).decode()}"
        if operator in _COMPARISONS:
            return f"{path} {_COMPARISONS[operator]} {self._variable(operand)}"
        values = operand if operator in ("in_", "nin") else [operand]
        equal = " || ".join(f"{path} == {self._variable(value)}" for value in values)
        # Comparing unequal types is "unknown", whose negation is unknown too: no such attribute is equal.
        return f"({equal})" if operator == "in_" else f"(!({equal}) || ({equal}) is unknown)"

    def _variable(self, value: object) -> str:
        name = f"v{len(self.variables)}"
        self.variables[name] = _storable(value) if isinstance(value, str) else value
        return f"${name}"


def _storable(text: str) -> str:
    """No attribute holds what Postgres cannot: NUL and lone surrogates."""
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise InvalidRequestError("A filter holds NUL or a lone surrogate, which no attribute can.")
    return text


def compile_filter(node: Filter | None) -> tuple[str | None, dict[str, Any]]:
    """The jsonpath predicate and its variables. Raises `InvalidRequestError` saying what is wrong where."""
    if node is None:
        return None, {}
    compiler = _Compiler()
    return compiler.group(node, 1), compiler.variables
