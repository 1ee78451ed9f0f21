"""Template to conversation on the deployed stack: begun, answered with citations, restarted, continued, forked."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.support.stack_user import StackUser, rows, until

LIBRARIAN = """---
input:
  schema:
    topic: string, what the questions are about
    tone?: string
spandrel.knowledge:
  query: "{{topic}}"
  top_k: 3
---
{{role "system"}}
You answer questions about {{topic}} from the passages{{#if tone}}, in a {{tone}} tone{{/if}}.
"""
HERALD = """---
input:
  schema:
    news: string
spandrel.auto_execute: true
---
{{role "system"}}
You are a herald.
{{role "user"}}
Proclaim: {{news}}
"""
WHALES = b"# Whales\n\nThe song of a humpback whale carries for hundreds of kilometres.\n\n# Owls\n\nOwls fly silently."
ENDED = ("completed", "failed", "cancelled")


@pytest.fixture(scope="module")
def user(stack: Any) -> StackUser:
    found = StackUser(stack)
    collection = found.collection()
    found.ready(collection, "animals.md", WHALES)
    return found


def template(user: StackUser, source: str) -> str:
    made = user.call("POST", "/v1/templates", {"name": f"t-{uuid4().hex[:8]}", "source": source})
    return made["template"]["id"]


def begin(user: StackUser, source: str, **variables: Any) -> dict[str, Any]:
    body = {"template": {"id": template(user, source)}, "variables": variables}
    return user.call("POST", "/v1/sessions", body)


def ended(user: StackUser, turn: str, seconds: float = 60) -> dict[str, Any]:
    return until(
        lambda: (found := user.call("GET", f"/v1/turns/{turn}"))["status"] in ENDED and found, seconds, f"turn {turn}"
    )


def say(user: StackUser, session: str, text: str) -> dict[str, Any]:
    body = {"text": text, "client_message_id": uuid4().hex}
    turn = ended(user, user.call("POST", f"/v1/sessions/{session}/turns", body, status=202)["id"])
    assert turn["status"] == "completed", turn
    return turn


def messages(user: StackUser, session: str) -> list[dict[str, Any]]:
    return user.call("GET", f"/v1/sessions/{session}/messages")["items"]


def test_a_conversation_with_citations_outlasts_the_stack_and_is_forked(user: StackUser) -> None:
    session = begin(user, LIBRARIAN, topic="whales", tone="dry")
    assert (session["status"], session["confidence"]["score"]) == ("active", 1)
    assert session["prompt"]["passages"][0]["document_name"] == "animals.md"
    here = session["id"]
    for question in ("How far does a humpback's song carry?", "And how do owls fly?"):
        turn = say(user, here, question)
        assert "stand-in" in turn["text"]
    answer = messages(user, here)[1]
    assert "hundreds of kilometres" in answer["content"]
    assert answer["citations"][0]["document_name"] == "animals.md"
    say(user, here, "Thank you!")
    assert [message["role"] for message in messages(user, here)] == ["user", "assistant"] * 3

    user.stack.stop()
    user.stack.start()
    user.token = user.stack.token(user.username)
    say(user, here, "Are you still there?")
    assert len(messages(user, here)) == 8
    fork = user.call("POST", f"/v1/sessions/{here}/fork", {"checkpoint": 2, "text": "And how do whales sleep?"})
    assert ended(user, fork["turn"]["id"])["status"] == "completed"
    said = [message["content"] for message in messages(user, fork["session"]["id"])]
    assert said[:4] == [message["content"] for message in messages(user, here)[:4]]
    assert said[4] == "And how do whales sleep?"
    [conversation] = user.call("GET", "/v1/conversations?search=humpback")["items"]
    assert conversation["session_count"] == 2


def test_a_template_that_is_sure_answers_by_itself(user: StackUser) -> None:
    session = begin(user, HERALD, news="the bridge is open")
    assert session["turn"]["status"] == "queued"
    assert ended(user, session["turn"]["id"])["status"] == "completed"
    [answer] = messages(user, session["id"])
    assert answer["role"] == "assistant"


def test_a_prompt_is_composed_and_found_again(user: StackUser) -> None:
    body = {"template": {"id": template(user, LIBRARIAN)}, "variables": {"topic": "owls"}}
    first, second = (user.call("POST", "/v1/prompts", body, status=200) for _ in range(2))
    assert first["hash"] == second["hash"]
    assert second["cache"]["hit"]
    assert first["tokens"]["knowledge"] > 0


def test_a_session_waits_for_what_is_missing(user: StackUser) -> None:
    session = begin(user, LIBRARIAN)
    assert (session["status"], session["missing"]) == ("initializing", ["topic"])
    given = user.call("PUT", f"/v1/sessions/{session['id']}/variables", {"variables": {"topic": "owls"}})
    assert given["status"] == "active"
    say(user, session["id"], "How do owls fly?")


def test_several_questions_at_once_are_answered_in_order(user: StackUser) -> None:
    session = begin(user, LIBRARIAN, topic="owls")["id"]
    turns = [
        user.call("POST", f"/v1/sessions/{session}/turns", {"text": f"{n}?", "client_message_id": str(n)}, status=202)
        for n in range(4)
    ]
    for turn in turns:
        assert ended(user, turn["id"])["status"] == "completed"
    assert [message["content"] for message in messages(user, session)][::2] == ["0?", "1?", "2?", "3?"]


def test_the_schedule_frees_a_turn_whose_worker_is_gone(user: StackUser) -> None:
    session = begin(user, LIBRARIAN, topic="owls")["id"]
    turn = say(user, session, "How do owls fly?")
    rows(
        user.stack,
        "UPDATE turns SET status = 'queued', finished_at = NULL, input = 'How do owls fly?',"
        " queued_at = now() - interval '2 minutes' WHERE id = %s",
        turn["id"],
    )
    rows(user.stack, "DELETE FROM messages WHERE turn_id = %s", turn["id"])
    rows(user.stack, "UPDATE agent_sessions SET ordinal = 0 WHERE id = %s", session)
    user.stack.client("lambda").invoke(FunctionName="spandrel-health-check", Payload=b"{}")
    assert ended(user, turn["id"])["status"] == "completed"


def test_what_it_cost_is_told(user: StackUser) -> None:
    session = begin(user, LIBRARIAN, topic="owls")["id"]
    turn = say(user, session, "How do owls fly?")
    [line] = user.call("GET", f"/v1/usage?group_by=turn&session_id={session}")["items"]
    assert (line["key"], line["calls"]) == (turn["id"], 2)  # the model, and the vector that passages were found by


def test_what_a_search_cost_is_told(user: StackUser) -> None:
    def calls() -> int:
        items = user.call("GET", "/v1/usage?group_by=model")["items"]
        return sum(item["calls"] for item in items if "wordllama" in item["key"])

    before = calls()
    user.search("owls", mode="text")
    user.search("owls", mode="vector")
    user.search("owls")
    assert calls() == before + 2
