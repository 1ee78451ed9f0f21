"""The SQL of templates, run on an open transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from psycopg.errors import ForeignKeyViolation, UniqueViolation
from psycopg.types.json import Jsonb

from spandrel.database import Transaction
from spandrel.errors import NameTakenError, NotFoundError, ReadOnlyError
from spandrel.sql import Queries
from spandrel.templates.models import (
    Kind,
    PartialSource,
    Structure,
    Template,
    TemplateVersion,
    Visibility,
)

if TYPE_CHECKING:
    from spandrel.templates.parse import Parsed

queries = Queries.beside(__file__)


@dataclass(frozen=True, slots=True)
class NewTemplate:
    """`name`: letters, digits, `_ . -`; unique among one's own of its kind."""

    name: str
    source: str
    kind: Kind = "prompt"
    description: str = ""
    visibility: Visibility = "private"


@dataclass(frozen=True, slots=True)
class Locked:
    """One's own template, held until the transaction ends."""

    kind: Kind
    name: str
    versions: int


@dataclass(frozen=True, slots=True)
class Reference:
    """A version: by its number, or by a label."""

    version: int | None = None
    label: str | None = None

    @classmethod
    def of(cls, text: str) -> Reference:
        """Digits are a number, anything else is a label."""
        return cls(version=int(text)) if text.isdecimal() else cls(label=text)


def insert_template(tx: Transaction, user_id: str, new: NewTemplate, parsed: Parsed) -> UUID:
    parameters = {
        "user_id": user_id,
        "kind": new.kind,
        "name": new.name,
        "description": new.description,
        "visibility": new.visibility,
    }
    try:
        row = tx.execute(queries.create_template, parameters | _content(new.source, parsed)).fetchone()
    except UniqueViolation as error:
        raise NameTakenError(f'You have a {new.kind} named "{new.name}" already.') from error
    return UUID(str(row["id"])) if row else UUID(int=0)


def insert_version(tx: Transaction, template_id: UUID, source: str, parsed: Parsed) -> int:
    """The number of the new version. The template is locked."""
    row = tx.execute(queries.save_version, {"template_id": template_id} | _content(source, parsed)).fetchone()
    return int(row["versions"]) if row else 0


def _content(source: str, parsed: Parsed) -> dict[str, Any]:
    structure = msgspec.to_builtins(parsed.structure)
    return {"source": source, "hash": parsed.hash, "structure": Jsonb(structure), "program": Jsonb(parsed.program)}


def find_template(tx: Transaction, template_id: UUID) -> Template:
    """Own or shared. Raises `NotFoundError`."""
    row = tx.execute(queries.find_template, {"template_id": template_id}).fetchone()
    if row is None:
        raise NotFoundError("There is no such template, or it is not yours.")
    return Template(**row)


def lock_template(tx: Transaction, template_id: UUID) -> Locked:
    """Raises `NotFoundError`, or `ReadOnlyError` for one that is only shared."""
    row: Locked | None = tx.execute(queries.lock_template, {"template_id": template_id}, into=Locked).fetchone()
    if row is None:
        find_template(tx, template_id)
        raise ReadOnlyError
    return row


def newest_hash(tx: Transaction, template_id: UUID) -> bytes:
    row = tx.execute(queries.newest_hash, {"template_id": template_id}).fetchone()
    return bytes(row["hash"]) if row else b""


def find_version(tx: Transaction, template_id: UUID, reference: Reference) -> TemplateVersion:
    """Raises `NotFoundError`."""
    parameters = {"template_id": template_id, "version": reference.version, "label": reference.label}
    row = tx.execute(queries.find_version, parameters).fetchone()
    if row is None:
        raise NotFoundError("There is no such version of this template, or it is not yours.")
    return TemplateVersion(**row | {"structure": msgspec.convert(row["structure"], Structure)})


def find_partial(tx: Transaction, name: str) -> PartialSource | None:
    """The production version of a partial: one's own, or else a shared one."""
    row = tx.execute(queries.find_partial, {"name": name}).fetchone()
    return PartialSource(**row) if row else None


def move_label(tx: Transaction, template_id: UUID, label: str, version: int) -> None:
    """Raises `NotFoundError` if there is no such version. The template is locked."""
    parameters = {"template_id": template_id, "label": label, "version": version}
    try:
        tx.execute(queries.set_label, parameters).fetchone()
    except ForeignKeyViolation as error:
        raise NotFoundError(f"This template has no version {version}.") from error
