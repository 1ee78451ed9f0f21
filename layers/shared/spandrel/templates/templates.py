"""Templates: saved in immutable versions, with labels that move. Reading one costs no parsing; saving one does."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import msgspec

from spandrel.database import Database, Transaction
from spandrel.errors import ConflictError, NotFoundError, TemplateInvalidError
from spandrel.idempotency.key import IdempotencyKey
from spandrel.pagination import Page, decode_cursor, paginate, paginate_by
from spandrel.templates import store
from spandrel.templates.compare import compare
from spandrel.templates.models import (
    LATEST,
    PRODUCTION,
    Fault,
    Kind,
    PartialSource,
    Saved,
    Template,
    TemplateVersion,
    Validation,
    VersionDiff,
    VersionSummary,
    Visibility,
)
from spandrel.templates.parse import Parsed, parse
from spandrel.templates.store import NewTemplate, Reference, queries

_LAST_VERSION = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Templates:
    database: Database

    def create(self, user_id: str, new: NewTemplate, key: IdempotencyKey | None = None) -> Saved:
        """Raises `TemplateInvalidError`, `NameTakenError`. A repeated `key` gives what it made, as it is now."""
        with self.database.transaction(user_id) as tx:
            if key and (made := key.claim(tx)):
                return _saved(tx, UUID(made["id"]), 1, created=True)
            template_id = store.insert_template(tx, user_id, new, _parse(tx, new.source, new.kind, new.name))
            if key:
                key.store(tx, {"id": str(template_id)})
            return _saved(tx, template_id, 1, created=True)

    def page(
        self,
        user_id: str,
        limit: int,
        cursor: str | None,
        kind: Kind | None = None,
        prefix: str | None = None,
        visibility: Visibility | None = None,
    ) -> Page[Template]:
        """Own and shared ones, newest first."""
        parameters = {
            "kind": kind,
            "prefix": prefix,
            "visibility": visibility,
            "before": decode_cursor(cursor),
            "limit": limit + 1,
        }
        return paginate(self.database.run(queries.list_templates, parameters, user_id=user_id, into=Template), limit)

    def get(self, user_id: str, template_id: UUID) -> Template:
        with self.database.transaction(user_id) as tx:
            return store.find_template(tx, template_id)

    def update(
        self, user_id: str, template_id: UUID, description: str | None, visibility: Visibility | None
    ) -> Template:
        """What is None stays as it is. Raises `ReadOnlyError` for another's."""
        parameters = {"template_id": template_id, "description": description, "visibility": visibility}
        with self.database.transaction(user_id) as tx:
            store.lock_template(tx, template_id)
            if description is not None or visibility is not None:
                tx.execute(queries.update_template, parameters)
            return store.find_template(tx, template_id)

    def save_version(self, user_id: str, template_id: UUID, source: str, key: IdempotencyKey | None = None) -> Saved:
        """The next version, or the newest if it has this source and the same partials already.

        Raises `TemplateInvalidError`, `ReadOnlyError`.
        """
        with self.database.transaction(user_id) as tx:
            if key and (made := key.claim(tx)):
                return _saved(tx, template_id, made["version"], created=made["created"])
            locked = store.lock_template(tx, template_id)
            parsed = _parse(tx, source, locked.kind, locked.name)
            created = parsed.hash != store.newest_hash(tx, template_id)
            version = store.insert_version(tx, template_id, source, parsed) if created else locked.versions
            if key:
                key.store(tx, {"version": version, "created": created})
            return _saved(tx, template_id, version, created=created)

    def versions(self, user_id: str, template_id: UUID, limit: int, cursor: str | None) -> Page[VersionSummary]:
        """Newest first."""
        last = decode_cursor(cursor)
        before = min(last.int, _LAST_VERSION) if last else None
        with self.database.transaction(user_id) as tx:
            store.find_template(tx, template_id)
            parameters = {"template_id": template_id, "before": before, "limit": limit + 1}
            rows: list[VersionSummary] = tx.execute(queries.list_versions, parameters, into=VersionSummary).fetchall()
        return paginate_by(lambda row: UUID(int=row.version), rows, limit)

    def version(self, user_id: str, template_id: UUID, reference: Reference) -> TemplateVersion:
        with self.database.transaction(user_id) as tx:
            return store.find_version(tx, template_id, reference)

    def diff(self, user_id: str, template_id: UUID, before: Reference, after: Reference) -> VersionDiff:
        with self.database.transaction(user_id) as tx:
            versions = [store.find_version(tx, template_id, each) for each in (before, after)]
        return compare(*versions)

    def set_label(self, user_id: str, template_id: UUID, label: str, version: int) -> Template:
        """Raises `ConflictError` for `latest`, `NotFoundError` if there is no such version."""
        if label == LATEST:
            raise ConflictError('The label "latest" follows each save by itself.')
        with self.database.transaction(user_id) as tx:
            store.lock_template(tx, template_id)
            store.move_label(tx, template_id, label, version)
            return store.find_template(tx, template_id)

    def remove_label(self, user_id: str, template_id: UUID, label: str) -> None:
        if label in (LATEST, PRODUCTION):
            raise ConflictError(f'Every template has the label "{label}"; it can only move.')
        with self.database.transaction(user_id) as tx:
            store.lock_template(tx, template_id)
            if tx.execute(queries.remove_label, {"template_id": template_id, "label": label}).fetchone() is None:
                raise NotFoundError(f'This template has no label "{label}".')

    def delete(self, user_id: str, template_id: UUID) -> None:
        """Gone for every request; its versions stay for the sessions that were made from them."""
        with self.database.transaction(user_id) as tx:
            store.lock_template(tx, template_id)
            tx.execute(queries.delete_template, {"template_id": template_id})

    def validate(self, user_id: str, source: str, kind: Kind, name: str | None) -> Validation:
        """What a save would say, without saving."""
        with self.database.transaction(user_id) as tx:
            try:
                return Validation(valid=True, structure=_parse(tx, source, kind, name).structure, errors=[])
            except TemplateInvalidError as error:
                faults = msgspec.convert(error.members["errors"], list[Fault])
                return Validation(valid=False, structure=None, errors=faults)


def _parse(tx: Transaction, source: str, kind: Kind, name: str | None) -> Parsed:
    def partial(wanted: str) -> PartialSource | None:
        return store.find_partial(tx, wanted)

    return parse(source, partial, itself=name if kind == "partial" else None)


def _saved(tx: Transaction, template_id: UUID, version: int, *, created: bool) -> Saved:
    found = store.find_template(tx, template_id)
    return Saved(
        template=found, version=store.find_version(tx, template_id, Reference(version=version)), created=created
    )
