"""Events as they are really written: each is what the catalogue says of its type."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import jsonschema_rs
import pytest

from spandrel.chat.models import Completion, TokenUsage, ToolCall
from spandrel.errors import ModelRejectedError
from spandrel.events.catalogue import BY_NAME
from spandrel.integrations.models import Certificate, TlsEvidence
from spandrel.integrations.records import Changes
from spandrel.prompts.prepare import User
from spandrel.usage.budgets import Budgets
from spandrel.usage.models import ModelCall
from spandrel.usage.store import record
from tests.integration.test_sessions import CALENDAR
from tests.support.chat_fakes import FakeTools
from tests.support.hub import DOWN, GOOD, READ, WRITE, Hub
from tests.support.knowledge import ADA, KnowledgeBase
from tests.support.mcp_fakes import healthy
from tests.support.studio import GREETING, Studio

LOST = "UPDATE turns SET status = 'running', attempt = %s, lease_until = now() - interval '1 second' WHERE id = %s"


def documents(kb: KnowledgeBase) -> None:
    collection = kb.collection()
    kb.collections.rename(ADA, collection.id, "letters")
    document = kb.add(collection, "Whales sing.")
    blank = kb.announce(collection)
    kb.upload(blank, " ")
    kb.documents.retry(ADA, blank)
    kb.rows("UPDATE documents SET status = 'parsing', lease_until = now() - interval '1 second' WHERE id = %s", blank)
    kb.upkeep.run(30)
    kb.documents.delete(ADA, document)
    kb.collections.delete(ADA, collection.id)
    kb.drain()


def templates(studio: Studio) -> None:
    template, store = studio.template(), studio.templates
    store.save_version(ADA, template, f"{GREETING}!")
    store.set_label(ADA, template, "canary", 2)
    store.remove_label(ADA, template, "canary")
    store.update(ADA, template, description="Greets.", visibility=None)
    store.delete(ADA, template)


def sessions(studio: Studio) -> None:
    waits = studio.begin(studio.template(), variables={})
    studio.sessions.give_variables(User(ADA, "Ada"), waits.id, {"name": "Ada"})
    studio.sessions.move(ADA, waits.id, "paused", "lunch")
    studio.sessions.move(ADA, waits.id, "active")
    studio.sessions.move(ADA, waits.id, "completed")
    session = studio.begin()
    turn = studio.say(session.id, "Hello!", "Good day.")
    studio.checkpoints.name(ADA, session.id, 1, "greeted")
    studio.checkpoints.name(ADA, session.id, 1, None)
    studio.checkpoints.restore(ADA, session.id, 0)
    studio.checkpoints.fork(ADA, session.id, 1)
    again = studio.turns.regenerate(ADA, turn.id)
    studio.turns.cancel(ADA, again.id)
    studio.conversations.change(ADA, session.conversation_id, title="Greetings", archived=True)
    idle = studio.begin()
    studio.ask(idle.id, "Still there?")
    studio.sessions.move(ADA, idle.id, "cancelled")
    late = studio.begin()
    studio.kb.rows("UPDATE agent_sessions SET expires_at = now() - interval '1 day' WHERE id = %s", late.id)
    studio.upkeep.expire_sessions()
    studio.conversations.delete(ADA, session.conversation_id)


def turns(studio: Studio) -> None:
    session = studio.begin()
    studio.queue.messages.clear()
    studio.ask(session.id, "Hello!")
    studio.model.then(ModelRejectedError())
    studio.work()
    for attempt, cancelled in ((1, False), (3, False), (1, True)):
        turn = studio.ask(session.id, "And now?")
        studio.kb.rows(LOST, attempt, turn.id)
        studio.kb.rows("UPDATE turns SET cancel_requested = %s WHERE id = %s", cancelled, turn.id)
        studio.upkeep.recover_turns()
    Budgets(studio.kb.app).put(ADA, "total", None, Decimal("0.1"), Decimal("0.2"))
    spend(studio.kb, "0.15")
    spend(studio.kb, "0.15")
    studio.work()
    Budgets(studio.kb.app).delete(ADA, "total", None)


def spend(kb: KnowledgeBase, cost: str) -> None:
    with kb.system.transaction() as tx:
        record(tx, ADA, ModelCall("turn", "fake-model", "v", 1, 0, 1, Decimal(cost)))


def approvals(studio: Studio) -> None:
    studio.integration(policy="ask")
    studio.begin(studio.template(CALENDAR), variables={"day": "Monday"})
    call = (ToolCall("call_1", "work__read_events", {}),)
    studio.model.then(Completion("", call, TokenUsage(1, 0, 1), "tool_calls", "fake-model"), "As you wish.")
    studio.work(tools=FakeTools())
    [approval] = studio.approvals.page(ADA, 1, None, None, ["pending"]).items
    studio.approvals.decide(ADA, approval.id, "denied", remember=True)
    studio.work(tools=FakeTools())


def integrations(hub: Hub) -> None:
    made = hub.add("Mail")
    now = datetime.now(UTC)
    certificate = Certificate("CN=mail", "CN=authority", now - timedelta(days=80), now + timedelta(days=6), "ab" * 32)
    expiring = replace(GOOD, tls=TlsEvidence((certificate,), 6, "TLSv1.3"))
    hub.round(expiring)
    hub.saved.change(ADA, made.id, Changes(name="Post"))
    for words, decision in (("Reads mail.", "reject"), ("Reads all mail.", "approve")):
        hub.round(healthy(replace(READ, description=words)))
        held = hub.tools(made)["read_events"].schema_hash
        hub.review.review(ADA, made.id, "read_events", decision, held)  # type: ignore[arg-type]
    hub.review.change(ADA, made.id, "read_events", policy="always")
    hub.round(healthy(WRITE))
    for _ in range(4):
        hub.round(DOWN, DOWN, DOWN)
        hub.round(GOOD, GOOD, GOOD)
    hub.saved.maintain(ADA, made.id, now - timedelta(minutes=1), now + timedelta(hours=1))
    hub.saved.end_maintenance(ADA, made.id)
    hub.saved.disable(ADA, made.id)
    hub.saved.enable(ADA, made.id)
    hub.saved.delete(ADA, made.id)


@pytest.fixture
def lived(kb: KnowledgeBase, studio: Studio, hub: Hub) -> KnowledgeBase:
    """A user to whom everything happened."""
    documents(kb)
    templates(studio)
    sessions(studio)
    approvals(studio)
    turns(studio)
    kb.rows("DELETE FROM events WHERE type = 'integration.status'")  # how the studio says that something changed
    integrations(hub)
    return kb


def test_every_event_is_what_the_catalogue_says(lived: KnowledgeBase) -> None:
    rows = lived.rows("SELECT seq, type, subject, data, created_at FROM events WHERE user_id = %s ORDER BY seq", ADA)
    validators = {}
    for row in rows:
        listed = BY_NAME[row["type"]]
        schema, components = listed.schema("#/$defs/{name}")
        definition = components[listed.data.__name__] | {"additionalProperties": False}
        closed = schema | {"$defs": components | {listed.data.__name__: definition}}
        validators.setdefault(row["type"], jsonschema_rs.Draft202012Validator(closed)).validate(row["data"])
        pattern = re.sub(r"\\{id\\}", "[0-9a-f-]{36}", re.escape(listed.subject)).replace(r"\{name\}", ".+")
        assert re.fullmatch(pattern, row["subject"]), (row["type"], row["subject"])
    found = {row["type"] for row in rows}
    assert {name for name, listed in BY_NAME.items() if not listed.reserved} - found == set()
