"""Binds what is given to a template's variables: defaults filled in, everything that is wrong told at once."""

from __future__ import annotations

import math
from itertools import islice
from typing import Any, Literal

import msgspec
from msgspec import UNSET

from spandrel.errors import VariablesInvalidError
from spandrel.templates.conform import Conform, fits_plainly
from spandrel.templates.models import Structure

MOST_BYTES = 32_768
MOST_BYTES_TOGETHER = 131_072
DEEPEST = 32
MOST_ERRORS = 100

Source = Literal["given", "default"]


class Bindings(msgspec.Struct, frozen=True):
    """`values` and where each is from. `missing`: required and not there, which only `allow_missing` lets happen."""

    values: dict[str, Any]
    sources: dict[str, Source]
    missing: list[str]


def bind(structure: Structure, given: dict[str, Any], *, allow_missing: bool = False) -> Bindings:
    """Raises `VariablesInvalidError`, which names every variable that is missing, unknown or not as declared."""
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    missing: list[str] = []
    faults: list[dict[str, str]] = []
    conform, together = Conform(), 0
    for variable in structure.variables:
        name = variable.name
        if name in given:
            value = values[name] = given[name]
            sources[name] = "given"
            size, unfit = _weigh(value)
            together += size
            if unfit is not None:
                faults.append(_fault(name, unfit, f'"{name}" {_UNFIT[unfit]}.'))
            elif not fits_plainly(value, variable.schema):
                misfits = conform.misfits(value, variable.schema)
                faults += [
                    _fault(name, each.code, f'"{name}{each.where}" {each.reason}.')
                    for each in islice(misfits, MOST_ERRORS)
                ]
        elif variable.default is not UNSET:
            values[name], sources[name] = variable.default, "default"
        elif variable.required:
            missing.append(name)
    if not allow_missing:
        faults += [_fault(name, "missing", f'"{name}" is missing.') for name in missing]
    unknown = sorted(given.keys() - values.keys())
    faults += [_fault(name, "unknown", f'The template has no variable "{name}".') for name in unknown]
    if together > MOST_BYTES_TOGETHER:
        faults.append(_fault("", "too_large", f"All values together may take {MOST_BYTES_TOGETHER} bytes."))
    if faults:
        told = faults[0]["reason"] + (f" There are {len(faults) - 1} more faults." if len(faults) > 1 else "")
        raise VariablesInvalidError(told, errors=faults[:MOST_ERRORS])
    return Bindings(values, sources, missing)


def _weigh(value: Any) -> tuple[int, str | None]:
    """The bytes that a value takes, and the code of what makes it unfit whatever was declared."""
    if value.__class__ is str and value.isascii():
        size, unfit = len(value), "characters" if "\0" in value else None
    else:
        unfit = _unfit(value, 0)
        if unfit is not None:
            return 0, unfit
        size = len(value.encode()) if isinstance(value, str) else len(msgspec.json.encode(value))
    return size, unfit or ("too_large" if size > MOST_BYTES else None)


def _unfit(value: Any, depth: int) -> str | None:
    if depth > DEEPEST:
        return "too_deep"
    if isinstance(value, str):
        return "characters" if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in value) else None
    if isinstance(value, float):
        return None if math.isfinite(value) else "number"
    if isinstance(value, int):
        return None if -(2**63) <= value < 2**63 else "number"
    parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((unfit for part in parts if (unfit := _unfit(part, depth + 1))), None)


_UNFIT = {
    "characters": "has characters that cannot be stored: NUL or a lone surrogate",
    "number": "has a number that is too large",
    "too_deep": f"is nested deeper than {DEEPEST}",
    "too_large": f"takes more than {MOST_BYTES} bytes",
}


def _fault(variable: str, code: str, reason: str) -> dict[str, str]:
    return {"variable": variable, "code": code, "reason": reason}
