"""What the templates feature speaks of. `Structure` is what a source declares, as it is stored and answered."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType

Kind = Literal["prompt", "partial"]
Visibility = Literal["private", "shared"]
SearchMode = Literal["hybrid", "vector", "text"]
Role = Literal["system", "user", "assistant", "history"]

LATEST = "latest"
PRODUCTION = "production"
"""Every template has these two labels: `latest` follows each save, `production` moves only when told."""


class Variable(Struct, frozen=True, kw_only=True):
    """An input of a template. `required`: it must be given, because it has no default. `type`: in a word, for people
    (`any` where there are several); `schema` is what a value is held to.
    """

    name: str
    type: str
    required: bool
    default: Any | UnsetType = UNSET
    description: str | None = None
    schema: dict[str, Any]


class Knowledge(Struct, frozen=True, kw_only=True):
    """What to look up before answering. `collections`: names or ids, empty for all. `program`: the query, compiled."""

    query: str
    program: list[Any]
    collections: list[str]
    top_k: int = 5
    mode: SearchMode = "hybrid"
    score_threshold: float | None = None


class PartialUse(Struct, frozen=True, kw_only=True):
    """A partial as it was when it was inlined. `hash`: of its source, in hexadecimal."""

    name: str
    template_id: UUID
    version: int
    hash: str


class Structure(Struct, frozen=True, kw_only=True):
    """What a source declares. `roles`: in the order in which the body names them, `history` among them."""

    model: str | None = None
    config: dict[str, Any]
    variables: list[Variable]
    capabilities: list[str]
    tools: list[str]
    partials: list[PartialUse]
    sections: list[str]
    roles: list[Role]
    auto_execute: bool = False
    confidence_threshold: float = 0.8
    knowledge: Knowledge | None = None
    description: str | None = None


class PartialSource(Struct, frozen=True, kw_only=True):
    """A partial that a template includes, found under its name."""

    name: str
    template_id: UUID
    version: int
    hash: bytes
    source: str


class SourceFault(Struct, frozen=True):
    """Something wrong in a source. Lines and columns count from 1; those of a partial's body are its tag's."""

    line: int
    column: int
    code: str
    message: str


Fault = SourceFault


class Template(Struct, frozen=True, kw_only=True):
    """`versions`: the number of the newest. `labels`: each with its version. `own`: yours, or only shared with you."""

    id: UUID
    kind: Kind
    name: str
    description: str
    visibility: Visibility
    own: bool
    versions: int
    labels: dict[str, int]
    created_at: datetime
    updated_at: datetime


class TemplatePage(Struct, frozen=True, kw_only=True):
    """`next_cursor` null: there is no further page."""

    items: list[Template]
    next_cursor: str | None


class VersionSummary(Struct, frozen=True, kw_only=True):
    """A version in a list. `hash`: SHA-256 of the source and of its partials, in hexadecimal."""

    version: int
    hash: str
    labels: list[str]
    created_at: datetime


class TemplateVersion(Struct, frozen=True, kw_only=True):
    """One immutable version. `hash`: SHA-256 of the source and of its partials, in hexadecimal."""

    template_id: UUID
    version: int
    source: str
    hash: str
    structure: Structure
    labels: list[str]
    created_at: datetime


class VersionPage(Struct, frozen=True, kw_only=True):
    """Newest first. `next_cursor` null: there is no further page."""

    items: list[VersionSummary]
    next_cursor: str | None


class Saved(Struct, frozen=True, kw_only=True):
    """`created` false: the newest version has this source, and the same partials, already."""

    template: Template
    version: TemplateVersion
    created: bool


class Change(Struct, frozen=True, kw_only=True):
    """A part of the structure that two versions do not have alike. `path`: such as `variables.name.type`."""

    path: str
    kind: Literal["added", "removed", "changed"]
    before: Any = None
    after: Any = None


class VersionDiff(Struct, frozen=True, kw_only=True):
    """`source`: the unified diff of the two sources, empty where they are the same."""

    before: int
    after: int
    source: str
    structure: list[Change]


class Validation(Struct, frozen=True, kw_only=True):
    """What a save would say: the structure, or the faults."""

    valid: bool
    structure: Structure | None
    errors: list[Fault]
