"""The composition root: the one package that knows features and adapters both. Everything is made at first use and
kept.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from spandrel.wiring.broadcast import delta_stream, pump as pump, repair_feed as repair_feed
from spandrel.wiring.providers import (
    chat_model,
    database as database,
    embedder,
    news as news,
    objects as objects,
    queue as queue,
    settings as settings,
    turn_queue,
)
from spandrel.wiring.realtime import (
    actions as actions,
    connections as connections,
    history as history,
    retention as retention,
    tickets as tickets,
)

if TYPE_CHECKING:
    from spandrel.chat.turn import RunTurn
    from spandrel.knowledge.collections import Collections
    from spandrel.knowledge.documents import Documents
    from spandrel.knowledge.ingest.ingest import Ingest
    from spandrel.knowledge.purge import Purge
    from spandrel.knowledge.search.search import Search
    from spandrel.knowledge.upkeep import Upkeep
    from spandrel.prompts.generate import GeneratePrompt
    from spandrel.prompts.prepare import Prepare
    from spandrel.schema import SchemaResource
    from spandrel.sessions.approvals import Approvals
    from spandrel.sessions.begin import BeginSession
    from spandrel.sessions.checkpoints import Checkpoints
    from spandrel.sessions.conversations import Conversations
    from spandrel.sessions.sessions import Sessions
    from spandrel.sessions.turns import Turns
    from spandrel.sessions.upkeep import SessionUpkeep
    from spandrel.templates.templates import Templates
    from spandrel.usage.budgets import Budgets
    from spandrel.usage.prices import PriceTable
    from spandrel.usage.report import Reports

APP_ROLE = "spandrel_app"
SYSTEM_ROLE = "spandrel_system"


@lru_cache(maxsize=1)
def search() -> Search:
    from spandrel.knowledge.search.search import Search

    return Search(database(APP_ROLE), embedder, prices)


def _session_search() -> Search:
    return replace(search(), outlasting=True)


@lru_cache(maxsize=1)
def collections() -> Collections:
    from spandrel.knowledge.collections import Collections

    return Collections(database(APP_ROLE), queue())


@lru_cache(maxsize=1)
def documents() -> Documents:
    from spandrel.knowledge.documents import Documents

    return Documents(database(APP_ROLE), objects(), queue())


@lru_cache(maxsize=1)
def ingest() -> Ingest:
    from spandrel.knowledge.ingest.ingest import Ingest

    return Ingest(database(SYSTEM_ROLE), objects(), embedder(), queue(), prices())


@lru_cache(maxsize=1)
def purge() -> Purge:
    from spandrel.knowledge.purge import Purge

    return Purge(database(SYSTEM_ROLE), objects())


@lru_cache(maxsize=1)
def upkeep() -> Upkeep:
    from spandrel.knowledge.upkeep import Upkeep

    return Upkeep(database(SYSTEM_ROLE), objects())


@lru_cache(maxsize=1)
def templates() -> Templates:
    from spandrel.templates.templates import Templates

    return Templates(database(APP_ROLE))


@lru_cache(maxsize=1)
def prepare() -> Prepare:
    from spandrel.prompts.prepare import Prepare

    return Prepare(database(APP_ROLE), search)


@lru_cache(maxsize=1)
def generate_prompt() -> GeneratePrompt:
    from spandrel.prompts.generate import GeneratePrompt

    return GeneratePrompt(prepare())


@lru_cache(maxsize=1)
def begin_session() -> BeginSession:
    from spandrel.sessions.begin import BeginSession

    return BeginSession(database(APP_ROLE), prepare(), turn_queue, settings().chat.model)


@lru_cache(maxsize=1)
def sessions() -> Sessions:
    from spandrel.sessions.sessions import Sessions

    return Sessions(database(APP_ROLE), prepare(), turn_queue())


@lru_cache(maxsize=1)
def turns() -> Turns:
    from spandrel.sessions.turns import Turns

    return Turns(database(APP_ROLE), turn_queue())


@lru_cache(maxsize=1)
def approvals() -> Approvals:
    from spandrel.sessions.approvals import Approvals

    return Approvals(database(APP_ROLE), turn_queue())


@lru_cache(maxsize=1)
def checkpoints() -> Checkpoints:
    from spandrel.sessions.checkpoints import Checkpoints

    return Checkpoints(database(APP_ROLE))


@lru_cache(maxsize=1)
def conversations() -> Conversations:
    from spandrel.sessions.conversations import Conversations

    return Conversations(database(APP_ROLE))


@lru_cache(maxsize=1)
def run_turn() -> RunTurn:
    from spandrel.chat.turn import RunTurn
    from spandrel.wiring import integrations

    chat = settings().chat
    # A worker that is alive says so with every save, and the longest silence between two is the model's own.
    lease = int(2 * chat.timeout) + 15
    tools, sink = integrations.call_tool(), delta_stream()
    return RunTurn(database(APP_ROLE), chat_model(), _session_search, prices(), chat.context_tokens, lease, tools, sink)


@lru_cache(maxsize=1)
def session_upkeep() -> SessionUpkeep:
    from spandrel.sessions.upkeep import SessionUpkeep

    return SessionUpkeep(database(SYSTEM_ROLE), turn_queue())


@lru_cache(maxsize=1)
def prices() -> PriceTable:
    from spandrel.usage.prices import PriceTable

    return PriceTable.load(settings().prices)


@lru_cache(maxsize=1)
def budgets() -> Budgets:
    from spandrel.usage.budgets import Budgets

    return Budgets(database(APP_ROLE))


@lru_cache(maxsize=1)
def reports() -> Reports:
    from spandrel.usage.report import Reports

    return Reports(database(APP_ROLE))


@lru_cache(maxsize=1)
def schema_resource() -> SchemaResource:
    from spandrel.schema import SchemaResource, ensure_embedding_space
    from spandrel.wiring.administrator import admin_conninfo

    embedding = settings().embedding

    def administrator() -> str:
        prices()  # a table that cannot be read fails the deployment, and not every turn after it
        return admin_conninfo(settings().database)

    return SchemaResource(
        administrator,
        lambda conninfo: ensure_embedding_space(conninfo, embedding.model, embedding.dimensions),
    )


def schema_version() -> int:
    """The database's schema version. Raises `SchemaVersionError` or `DatabaseUnavailableError`."""
    [row] = database(APP_ROLE).run(b"SELECT version FROM schema_version")
    return int(row["version"])
