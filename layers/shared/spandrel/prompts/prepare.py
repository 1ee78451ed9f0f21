"""Prepares a prompt: the template's version and the user's tools in one flight, then bound, retrieved and composed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from spandrel.database import Database
from spandrel.errors import InvalidRequestError, NotFoundError
from spandrel.prompts.cache import Lru, PromptCache, PromptKey
from spandrel.prompts.capabilities import ToolRow
from spandrel.prompts.compose import compose
from spandrel.prompts.models import CacheReport, Composed, Passage, TemplateRef
from spandrel.sql import Queries
from spandrel.templates.bind import Bindings, bind
from spandrel.templates.models import Structure
from spandrel.templates.render import render_text

if TYPE_CHECKING:
    from spandrel.knowledge.search.models import Hit
    from spandrel.knowledge.search.search import Search

queries = Queries.beside(__file__)
COMPILED_VERSIONS = 256


class User(msgspec.Struct, frozen=True):
    """Whom a prompt is for: what system variables tell of them."""

    id: str
    name: str = ""


class Compiled(msgspec.Struct, frozen=True):
    """A template's version as it is kept in memory."""

    hash: bytes
    structure: Structure
    program: list[Any]


class Context(msgspec.Struct, frozen=True):
    """A template's version and what a prompt of it depends on, as they are now."""

    template_id: UUID
    template_name: str
    version: int
    compiled: Compiled
    tools: list[ToolRow]
    collections: list[UUID] | None
    knowledge_epoch: int
    capability_epoch: int
    stored: dict[str, Any] | None  # of the request's idempotency key: hash and answer


class Prepared(msgspec.Struct, frozen=True):
    context: Context
    bindings: Bindings
    composed: Composed
    cache: CacheReport


class Prepare(msgspec.Struct, frozen=True):
    """Kept for the life of a function: compiled versions and composed prompts are its memory."""

    database: Database
    search: Callable[[], Search]
    today: Callable[[], datetime] = lambda: datetime.now(UTC)
    _compiled: Lru[bytes, Compiled] = msgspec.field(default_factory=lambda: Lru(COMPILED_VERSIONS))
    _newest: Lru[tuple[str, TemplateRef], bytes] = msgspec.field(default_factory=lambda: Lru(COMPILED_VERSIONS))
    _prompts: PromptCache = msgspec.field(default_factory=PromptCache)

    def context(self, user_id: str, ref: TemplateRef, key: str | None = None, *, deleted: bool = False) -> Context:
        """One flight. Raises `NotFoundError` for a template, version or label that is not there for this user.

        `deleted`: one's own deleted template is there too.
        """
        if (ref.id is None) == (ref.name is None):
            raise InvalidRequestError('Name the template by either "id" or "name".')
        known = self._newest.get((user_id, ref))
        parameters = {
            "template_id": ref.id,
            "name": ref.name,
            "label": ref.label,
            "version": ref.version,
            "known": [known] if known and self._compiled.get(known) else [],
            "key": key,
            "deleted": deleted,
        }
        rows = self.database.run(queries.prompt_context, parameters, user_id=user_id)
        if not rows:
            wanted = f"version {ref.version}" if ref.version is not None else f'label "{ref.label}"'
            raise NotFoundError(f"There is no such template with {wanted}, or it is not yours.")
        [row] = rows
        compiled = self._compile(row)
        self._newest.put((user_id, ref), compiled.hash)
        stored = {"request_hash": row["request_hash"], "response": row["stored"]} if row["request_hash"] else None
        return Context(
            template_id=row["template_id"],
            template_name=row["template_name"],
            version=row["version"],
            compiled=compiled,
            tools=row["tools"],
            collections=row["collections"],
            knowledge_epoch=row["knowledge_epoch"],
            capability_epoch=row["capability_epoch"],
            stored=stored,
        )

    def compose(
        self, user: User, context: Context, variables: dict[str, Any], locale: str, *, allow_missing: bool = False
    ) -> Prepared:
        """No flight, unless the template retrieves and nothing composed is at hand. Raises `VariablesInvalidError`."""
        structure = context.compiled.structure
        bindings = bind(structure, variables, allow_missing=allow_missing)
        system = {
            "date": self.today().date().isoformat(),
            "user": {"id": user.id, "name": user.name},
            "locale": locale,
        }
        key = PromptKey(
            version=context.compiled.hash,
            variables=msgspec.json.encode(bindings.values, order="deterministic"),
            system_variables=msgspec.json.encode(system),
            capabilities=context.capability_epoch,
            knowledge=context.knowledge_epoch if structure.knowledge else 0,
        )
        composed, report = self._prompts.find(user.id, str(context.template_id), key)
        if composed is None:
            passages = self._retrieve(user.id, context, bindings, system)
            composed = compose(structure, context.compiled.program, bindings.values, system, context.tools, passages)
            self._prompts.put(user.id, key, composed)
        return Prepared(context, bindings, composed, report)

    def _compile(self, row: dict[str, Any]) -> Compiled:
        found = self._compiled.get(row["hash"])
        if found is None:
            found = Compiled(row["hash"], msgspec.convert(row["structure"], Structure), row["program"])
            self._compiled.put(found.hash, found)
        return found

    def _retrieve(self, user_id: str, context: Context, bindings: Bindings, system: dict[str, Any]) -> list[Passage]:
        knowledge = context.compiled.structure.knowledge
        if knowledge is None or bindings.missing:
            return []
        query = render_text(knowledge.program, bindings.values, system).strip()
        if not query or context.collections == []:
            return []
        from spandrel.knowledge.search.models import SearchRequest

        request = SearchRequest(
            query=query[:8000],
            collections=context.collections,
            top_k=knowledge.top_k,
            mode=knowledge.mode,
            score_threshold=knowledge.score_threshold,
        )
        return passages(self.search().run(user_id, request).hits)


def passages(hits: Sequence[Hit]) -> list[Passage]:
    """Hits, numbered as citations name them."""
    return [
        Passage(
            number=number,
            document_id=hit.document_id,
            document_name=hit.document_name,
            ordinal=hit.ordinal,
            heading_path=hit.heading_path,
            page=hit.page,
            score=hit.score,
            text=hit.text,
        )
        for number, hit in enumerate(hits, 1)
    ]
