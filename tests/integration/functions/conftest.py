"""Somebody who has one of everything."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import pytest

from spandrel.integrations.models import BearerAuth
from spandrel.usage.budgets import Budgets
from spandrel.usage.models import ModelCall
from spandrel.usage.store import record
from tests.support.api import call
from tests.support.hub import Hub
from tests.support.knowledge import ADA, KnowledgeBase
from tests.support.mcp_fakes import healthy, tool
from tests.support.owned import SECRET, Owned
from tests.support.studio import Studio


@dataclass(frozen=True, kw_only=True)
class Ada(Owned):
    held: str
    """The hash of the integration's tool that waits for review."""


@pytest.fixture
def ada(wired: KnowledgeBase, studio: Studio, hub: Hub) -> Ada:
    collection = wired.collection(name=f"{SECRET}s")
    document = wired.add(collection, f"The {SECRET} sings.", name=f"{SECRET}.md", attributes={"kind": SECRET})
    failed = wired.announce(collection)
    wired.upload(failed, " ")
    template = studio.template(name=SECRET)
    call("POST", "/v1/templates", body={"name": SECRET, "kind": "partial", "source": f"{SECRET} sings"})
    call("PUT", f"/v1/templates/{template}/labels/canary", body={"version": 1})
    session = studio.begin(template, variables={"name": SECRET}, title=SECRET)
    turn = studio.say(session.id, f"What of the {SECRET}?", f"The {SECRET} sings.")
    budgets = Budgets(wired.app)
    for of_session in (None, session.id):
        budgets.put(ADA, "total", of_session, Decimal(1), Decimal(9))
    with wired.system.transaction() as tx:
        record(tx, ADA, ModelCall("turn", SECRET, "v", 1, 0, 1, Decimal(5)), session.id)
    approval = studio.pending_approval(session.id, turn.id, {"what": SECRET})
    integration = hub.add(SECRET, url=f"https://{SECRET}.example.com", auth=BearerAuth(SECRET))
    for words in (SECRET, f"{SECRET}!"):
        hub.round(healthy(tool(SECRET, words), server_name=SECRET), url=integration.url)
    return Ada(
        collection=str(collection.id),
        document=str(document),
        failed=str(failed),
        template=str(template),
        session=str(session.id),
        conversation=str(session.conversation_id),
        turn=str(turn.id),
        approval=str(approval),
        integration=str(integration.id),
        held=hub.tools(integration)[SECRET].schema_hash,
    )
