"""Arguments of a tool call against its schema (JSON Schema; 2020-12 where it names no dialect, as MCP has it).

The schema is a stranger's. It is given no network; its patterns are left to its server, for one can be made to take for
ever; and it may refer to its own parts only so often.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

MOST_FAULTS = 5
MOST_REFERENCES = 2_000
_LONGEST = 200
_LEFT_OUT = ("pattern", "patternProperties", "format")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


class _EndlessError(Exception):
    """The schema refers to itself without end, or nearly so."""


def faults(schema: dict[str, Any], arguments: dict[str, Any]) -> list[str]:
    """A sentence a fault, for the model. Empty: they fit, or the schema is none that can be used."""
    from jsonschema import exceptions
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    unusable = (exceptions.SchemaError, exceptions.UnknownType, Unresolvable, RecursionError, TypeError, ValueError)
    validator = _validator(schema)(schema, registry=Registry())
    try:
        found = sorted(validator.iter_errors(arguments), key=lambda error: [str(part) for part in error.absolute_path])
    except (*unusable, _EndlessError, AttributeError):
        return []
    return [_told(error) for error in found[:MOST_FAULTS]]


def _told(error: Any) -> str:
    place = ".".join(map(str, error.absolute_path)) or "arguments"
    return f"{place}: {error.message[:_LONGEST]}."


def _validator(schema: dict[str, Any]) -> Any:
    from jsonschema import Draft202012Validator, validators

    dialect = schema.get("$schema")
    known: Any = Draft202012Validator
    if isinstance(dialect, str):
        known = validators.validator_for({"$schema": dialect}, default=Draft202012Validator)
    followed = 0

    def counted(follow: Any) -> Any:
        def reference(*given: Any) -> Iterator[Any]:
            nonlocal followed
            followed += 1
            if followed > MOST_REFERENCES:
                raise _EndlessError
            yield from follow(*given) or ()

        return reference

    changed: dict[str, Any] = dict.fromkeys(_LEFT_OUT)
    changed |= {name: counted(known.VALIDATORS[name]) for name in _REFERENCES if name in known.VALIDATORS}
    return validators.extend(known, changed)
