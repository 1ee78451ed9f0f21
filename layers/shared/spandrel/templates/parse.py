"""Reads a `.prompt` source: YAML front matter and Handlebars body, into its structure and its program.

Runs when a template is saved or checked, and tells every fault that it finds, each with its line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from msgspec import UNSET

from spandrel.templates.compile import Compilation, compile_body
from spandrel.templates.faults import Faults
from spandrel.templates.front_matter import FrontMatter, RawKnowledge, read_front_matter, split
from spandrel.templates.input_schema import Schema, type_word
from spandrel.templates.models import Knowledge, PartialSource, PartialUse, Structure, Variable
from spandrel.templates.scopes import Variables, infer

MOST_BYTES = 200_000

Partials = Callable[[str], PartialSource | None]


@dataclass(frozen=True, slots=True)
class Parsed:
    """`hash`: of the source and of its partials, so that it changes with either."""

    structure: Structure
    program: list[Any]
    hash: bytes


def parse(source: str, partials: Partials, *, itself: str | None = None) -> Parsed:
    """`partials`: finds one by its name. `itself`: the name of the partial that is being saved, if it is one.

    Raises `TemplateInvalidError`, which names every fault.
    """
    faults = Faults(source)
    _refuse_unstorable(source, faults)
    faults.throw()
    yaml, yaml_offset, body, body_offset = split(source, faults.add)
    front = FrontMatter() if yaml is None else read_front_matter(yaml, yaml_offset, faults.add)
    # Where the schema cannot be read nothing is known of the variables, and no name in the body is at fault.
    variables = Variables(front.schema)
    compilation = Compilation(variables, _without_front_matter(partials))

    def in_body(offset: int, code: str, message: str) -> None:
        faults.add(body_offset + offset, code, message)

    program = compile_body(body, compilation, in_body, itself)
    knowledge = _knowledge(front.knowledge, compilation, faults) if front.knowledge else None
    faults.throw()
    uses = [
        PartialUse(name=used.name, template_id=used.template_id, version=used.version, hash=used.hash.hex())
        for used, _ in filter(None, compilation.partials.values())
    ]
    structure = Structure(
        model=front.model,
        config=front.config,
        variables=_variables(front.schema or infer(variables.uses, front.defaults), front.defaults),
        capabilities=front.capabilities,
        tools=front.tools,
        partials=uses,
        sections=list(compilation.sections),
        roles=list(compilation.roles),
        auto_execute=front.auto_execute,
        confidence_threshold=front.confidence_threshold,
        knowledge=knowledge,
        description=front.description,
    )
    return Parsed(structure, program, _hash(source, uses))


def _refuse_unstorable(source: str, faults: Faults) -> None:
    if len(source.encode(errors="surrogatepass")) > MOST_BYTES:
        faults.add(0, "too_large", f"A template may take {MOST_BYTES:,} bytes.")
        return
    at = next((at for at, char in enumerate(source) if char == "\0" or "\ud800" <= char <= "\udfff"), None)
    if at is not None:
        faults.add(at, "characters", "NUL and lone surrogates are not allowed.")


def _without_front_matter(partials: Partials) -> Callable[[str], tuple[PartialSource, str] | None]:
    """A partial's front matter is about the partial alone: what it declares was checked when it was saved."""

    def lookup(name: str) -> tuple[PartialSource, str] | None:
        found = partials(name)
        return (found, split(found.source, lambda *_: None)[2]) if found else None

    return lookup


def _knowledge(raw: RawKnowledge, compilation: Compilation, faults: Faults) -> Knowledge:
    def at_query(_: int, code: str, message: str) -> None:
        faults.add(raw.offset, code, f"In the query: {message}")

    return Knowledge(
        query=raw.query,
        program=compile_body(raw.query, compilation.plainly(), at_query),
        collections=raw.collections,
        top_k=raw.top_k,
        mode=raw.mode,
        score_threshold=raw.score_threshold,
    )


def _variables(schema: Schema, defaults: dict[str, Any]) -> list[Variable]:
    required = schema.get("required", [])
    return [
        Variable(
            name=name,
            type=type_word(part),
            required=name in required and name not in defaults,
            default=defaults.get(name, UNSET),
            description=part.get("description"),
            schema=part,
        )
        for name, part in schema["properties"].items()
    ]


def _hash(source: str, uses: list[PartialUse]) -> bytes:
    digest = hashlib.sha256(source.encode())
    for use in sorted(uses, key=lambda use: use.name):
        digest.update(f"\0{use.name}\0{use.hash}".encode())
    return digest.digest()
