"""What the vectors of queries cost is in the ledger, and takes no flight of its own."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from uuid import uuid4

import pytest

from spandrel.errors import ModelRejectedError, NotFoundError
from spandrel.usage.budgets import Budgets
from spandrel.usage.prices import PriceTable
from tests.support.knowledge import ADA, BOB, KnowledgeBase
from tests.support.postgres import MODEL
from tests.support.studio import Studio

LIBRARIAN = """---
model: fake-model
input:
  schema:
    topic: string
spandrel.knowledge:
  query: "{{topic}}"
---
{{role "system"}}
You know about {{topic}}.
"""
A_DOLLAR_A_MILLION = PriceTable.load(f'{{"version": "v", "models": {{"{MODEL}": {{"input": "1"}}}}}}')


@pytest.fixture(autouse=True)
def priced(kb: KnowledgeBase) -> None:
    """The fake embedder counts words. What the passage itself cost is not looked at here."""
    kb.add(kb.collection(), "Whales sing in the deep.")
    kb.rows("TRUNCATE usage_ledger, usage_totals")
    kb.search = replace(kb.search, prices=lambda: A_DOLLAR_A_MILLION)


def ledger(kb: KnowledgeBase, user: str = ADA) -> list[tuple[str, str, int, Decimal]]:
    rows = kb.rows("SELECT * FROM usage_ledger WHERE user_id = %s ORDER BY id", user)
    return [(row["purpose"], row["model"], row["input_tokens"], row["cost"]) for row in rows]


@pytest.mark.parametrize("mode", ["vector", "hybrid"])
def test_a_query_s_vector_is_charged_to_who_asked(kb: KnowledgeBase, mode: str) -> None:
    assert kb.find("do whales sing", mode=mode).hits
    assert ledger(kb) == [("embedding", MODEL, 3, Decimal("0.000003"))]
    [line] = kb.rows("SELECT session_id, turn_id, price_version FROM usage_ledger")
    assert line == {"session_id": None, "turn_id": None, "price_version": "v"}
    assert kb.one("SELECT cost FROM usage_totals WHERE user_id = %s AND period = 'day'", ADA) == Decimal("0.000003")
    assert ledger(kb, BOB) == []


def test_a_search_by_words_costs_nothing(kb: KnowledgeBase) -> None:
    assert kb.find("whales", mode="text").hits
    assert ledger(kb) == []


def test_a_search_that_finds_no_collection_has_cost_its_vector(kb: KnowledgeBase) -> None:
    with pytest.raises(NotFoundError):
        kb.find("whales", collections=[str(uuid4())])
    assert len(ledger(kb)) == 1


def test_a_budget_hears_of_queries(kb: KnowledgeBase) -> None:
    Budgets(kb.app).put(ADA, "total", None, Decimal("0.000002"), None)
    kb.find("do whales sing")
    assert kb.events()[-1] == "usage.budget_warning"


def test_what_a_prompt_and_a_session_look_up_is_charged(studio: Studio) -> None:
    studio.begin(studio.template(LIBRARIAN), variables={"topic": "whales of the sea"})
    assert ledger(studio.kb) == [("embedding", MODEL, 4, Decimal("0.000004"))]


def test_what_a_turn_looks_up_is_charged_with_the_turn(studio: Studio) -> None:
    session = studio.begin(studio.template(LIBRARIAN), variables={"topic": "whales"})
    turn = studio.say(session.id, "Do whales sing?", "They do [1].")
    lines = studio.kb.rows("SELECT * FROM usage_ledger WHERE session_id = %s ORDER BY id", session.id)
    assert [(line["turn_id"], line["purpose"]) for line in lines] == [(turn.id, "embedding"), (turn.id, "turn")]
    assert lines[0]["cost"] == Decimal("0.000003")
    assert studio.session(session.id).cost == sum(line["cost"] for line in lines)


def test_a_turn_that_fails_has_cost_what_it_looked_up(studio: Studio) -> None:
    session = studio.begin(studio.template(LIBRARIAN), variables={"topic": "whales"})
    studio.model.then(ModelRejectedError())
    turn = studio.ask(session.id, "Do whales sing?")
    studio.work()
    [line] = studio.kb.rows("SELECT * FROM usage_ledger WHERE turn_id = %s", turn.id)
    assert (line["purpose"], studio.session(session.id).cost) == ("embedding", line["cost"])
