"""Events as they are really written: each is what the catalogue says of its type."""

from __future__ import annotations

import re
from decimal import Decimal

import jsonschema_rs
import pytest

from spandrel.errors import ModelRejectedError
from spandrel.events.catalogue import BY_NAME
from spandrel.prompts.prepare import User
from spandrel.usage.budgets import Budgets
from spandrel.usage.models import Cost, ModelCall
from spandrel.usage.store import record
from tests.support.knowledge import ADA, KnowledgeBase
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
    studio.upkeep.run()
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
        studio.upkeep.run()
    Budgets(studio.kb.app).put(ADA, "total", None, Decimal("0.1"), Decimal("0.2"))
    spend(studio.kb, "0.15")
    spend(studio.kb, "0.15")
    studio.work()
    Budgets(studio.kb.app).delete(ADA, "total", None)


def spend(kb: KnowledgeBase, cost: str) -> None:
    with kb.system.transaction() as tx:
        record(tx, ADA, ModelCall("turn", "fake-model", 1, 0, 1, Cost(Decimal(cost), "v")))


@pytest.fixture
def lived(kb: KnowledgeBase, studio: Studio) -> KnowledgeBase:
    """A user to whom everything happened."""
    documents(kb)
    templates(studio)
    sessions(studio)
    turns(studio)
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
        pattern = re.sub(r"\\{\w+\\}", "[0-9a-f-]{36}", re.escape(listed.subject))
        assert re.fullmatch(pattern, row["subject"]), (row["type"], row["subject"])
    found = {row["type"] for row in rows}
    whole = ("collection.", "document.", "template.", "conversation.", "session.", "checkpoint.", "usage.", "turn.")
    nowhere = {"session.failed", "turn.waiting"}  # what nothing brings about yet
    assert {name for name in BY_NAME if name.startswith(whole)} - found <= nowhere
