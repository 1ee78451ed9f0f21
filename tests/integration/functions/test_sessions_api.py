"""Sessions, turns, checkpoints and conversations over HTTP, through the handlers, as the contract says."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from functions.chat_turn.handler import handler as chat_turn
from spandrel import pagination
from tests.integration.test_sessions import CALENDAR, LIBRARIAN
from tests.support.api import Answer, call, operations, validate
from tests.support.events import Context, sqs_event
from tests.support.knowledge import KnowledgeBase
from tests.support.studio import Studio

pytestmark = pytest.mark.usefixtures("wired")


ANSWERED: set[str] = set()


def asked(operation_id: str, body: object = None, expect: int | None = None, **place: Any) -> Any:
    """The answer to an operation, held to the contract."""
    method, path, operation = operations()[operation_id]
    names = {name for name in place if f"{{{name}}}" in path}
    query = {name: value for name, value in place.items() if name not in names and name != "headers"}
    answer = call(
        method,
        path.format(**{name: place[name] for name in names}),
        body=body,
        query=query,
        headers=place.get("headers"),
    )
    wanted = expect or next(int(status) for status in operation["responses"] if status.isdigit())
    assert answer.status == wanted, answer.text
    validate(operation_id, answer)
    ANSWERED.add(operation_id)
    return answer.json if answer.text else None


def refused(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.code


@pytest.fixture
def session(studio: Studio) -> dict[str, Any]:
    body = {"template": {"id": str(studio.template())}, "variables": {"name": "Bo"}}
    made: dict[str, Any] = asked("create_session", body)
    return made


def work(studio: Studio) -> list[Any]:
    """Every message through the handler of the turn worker; what it reports as failed."""
    import json

    failed = []
    while studio.queue.messages:
        answer = chat_turn(sqs_event(json.dumps(studio.queue.messages.pop(0))), Context())
        failed += answer["batchItemFailures"]
    return failed


def said(studio: Studio, session_id: str, text: str, answer: str) -> dict[str, Any]:
    studio.model.then(answer)
    turn = asked("ask_turn", {"text": text, "client_message_id": uuid4().hex}, session_id=session_id)
    assert work(studio) == []
    found: dict[str, Any] = asked("get_turn", turn_id=turn["id"])
    assert found["status"] == "completed", found
    return found


def test_every_operation_answers_as_the_contract_says(studio: Studio, session: dict[str, Any]) -> None:
    here = {"session_id": session["id"]}
    asked("list_sessions", conversation_id=session["conversation_id"], status="active")
    asked("get_session", **here)
    asked("change_session", {"idle_seconds": 600, "keep_checkpoints": 5}, **here)
    assert asked("change_session", {"keep_checkpoints": None}, **here)["keep_checkpoints"] is None
    first = said(studio, session["id"], "One?", "First.")
    assert first["text"] == "First."
    asked("list_turns", **here)
    messages = asked("list_session_messages", **here)["items"]
    assert [message["content"] for message in messages] == ["One?", "First."]
    assert asked("list_session_messages", limit=1, **here)["next_after"] == 1
    again = asked("regenerate_turn", turn_id=first["id"])
    studio.model.then(ZeroDivisionError())
    assert work(studio) == []
    assert asked("get_turn", turn_id=again["id"])["error"]["code"] == "internal_error"
    asked("retry_turn", turn_id=again["id"])
    asked("cancel_turn", turn_id=again["id"])
    approval = studio.pending_approval(UUID(session["id"]), UUID(again["id"]), {"day": "Monday"})
    assert asked("list_tool_approvals", status="pending", **here)["items"] == [
        asked("get_tool_approval", approval_id=approval)
    ]
    decided = asked("decide_tool_approval", {"decision": "denied", "remember": True}, approval_id=approval)
    assert decided["status"] == "denied"
    asked("list_checkpoints", **here)
    asked("name_checkpoint", {"name": "here"}, number=1, **here)
    asked("get_checkpoint", number=1, **here)
    asked("restore_checkpoint", number=1, **here)
    fork = asked("fork_session", {"checkpoint": 1, "text": "Two, edited?"}, **here)
    assert fork["turn"]["status"] == "queued"
    asked("pause_session", {"reason": "lunch"}, **here)
    asked("resume_session", **here)
    asked("complete_session", **here)
    asked("cancel_session", session_id=fork["session"]["id"])
    assert len(asked("list_session_status_changes", **here)["items"]) == 4
    there = {"conversation_id": session["conversation_id"]}
    asked("list_conversations", search="one")
    asked("get_conversation", **there)
    asked("change_conversation", {"title": "Greetings", "archived": True}, **there)
    waiting = asked("create_session", {"template": {"id": str(studio.template())}})
    asked("give_session_variables", {"variables": {"name": "Bo"}}, session_id=waiting["id"])
    asked("generate_prompt", {"template": {"id": str(studio.template())}, "variables": {"name": "Bo"}})
    asked("put_session_budget", {"stop_at": "2"}, **here)
    asked("delete_session_budget", **here)
    asked("delete_conversation", **there)
    mine = {"sessions", "turns", "conversations", "prompts", "tool-approvals"}
    assert {name for name, (_, path, _) in operations().items() if mine & set(path.split("/"))} <= ANSWERED
    asked("get_session", expect=404, **here)


def test_a_session_waits_for_its_variables(studio: Studio) -> None:
    waiting = asked("create_session", {"template": {"id": str(studio.template())}})
    assert (waiting["status"], waiting["missing"]) == ("initializing", ["name"])
    answer = call("PUT", f"/v1/sessions/{waiting['id']}/variables", body={"variables": {"name": 1}})
    assert refused(answer) == (422, "variables_invalid")
    found = asked("give_session_variables", {"variables": {"name": "Bo"}}, session_id=waiting["id"])
    assert found["status"] == "active"


def test_a_prompt_is_composed_and_nothing_kept(studio: Studio) -> None:
    studio.integration()
    body = {
        "template": {"id": str(studio.template(CALENDAR))},
        "variables": {"day": "Monday"},
        "history": [{"role": "user", "content": "Hi"}],
    }
    answer = asked("generate_prompt", body)
    assert [message["section"] for message in answer["messages"]] == ["instructions", "examples", "history"]
    assert answer["tokens"]["method"] == "cl100k_base"
    assert answer["tokens"]["tools"] > 0
    assert answer["cache"] == {"hit": False, "reason": "first_use"}
    again = asked("generate_prompt", body)
    assert again["cache"]["hit"]
    assert again["hash"] == answer["hash"]
    assert asked("generate_prompt", body | {"history": []})["hash"] != answer["hash"]
    assert studio.kb.one("SELECT count(*) FROM agent_sessions") == 0


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"template": {}}, 422, "invalid_request"),
        ({"template": {"id": str(uuid4())}}, 404, "not_found"),
        ({"template": {"name": "greeting", "label": "beta"}}, 404, "not_found"),
        ({"template": {"name": "greeting", "version": 0}}, 422, "invalid_request"),
        ({"template": {"name": "greeting"}, "variables": {"nme": 1}}, 422, "variables_invalid"),
        ({"template": {"name": "greeting"}, "title": " "}, 422, "invalid_request"),
        ({"template": {"name": "greeting"}, "title": "A\n"}, 422, "invalid_request"),
        ({"template": {"name": "greeting"}, "title": "A\x7f"}, 422, "invalid_request"),
        ({"template": {"name": "greeting"}, "locale": "en\n"}, 422, "invalid_request"),
        ({"template": {"name": "greeting"}, "idle_seconds": 1}, 422, "invalid_request"),
        ({"template": {"name": "greeting"}, "conversation_id": str(uuid4())}, 404, "not_found"),
        ([], 422, "invalid_request"),
    ],
)
def test_what_cannot_begin_is_told_why(studio: Studio, body: object, status: int, code: str) -> None:
    studio.template(name="greeting")
    assert refused(call("POST", "/v1/sessions", body=body)) == (status, code)


def test_an_idempotency_key_gives_the_same_session(studio: Studio) -> None:
    body = {"template": {"id": str(studio.template())}, "variables": {"name": "Bo"}}
    keyed = {"Idempotency-Key".lower(): "k"}
    first, second = (asked("create_session", body, headers=keyed) for _ in range(2))
    assert first == second
    other = call("POST", "/v1/sessions", body=body | {"variables": {"name": "B"}}, headers=keyed)
    assert refused(other) == (422, "idempotency_key_reused")
    assert refused(call("POST", "/v1/sessions", body=body, headers={"idempotency-key": "ü"})) == (
        422,
        "invalid_request",
    )


def test_an_illegal_move_is_a_conflict_that_names_what_is_legal(session: dict[str, Any]) -> None:
    call("POST", f"/v1/sessions/{session['id']}/pause")
    answer = call("POST", f"/v1/sessions/{session['id']}/turns", body={"text": "Hi", "client_message_id": "m"})
    assert refused(answer) == (409, "illegal_move")
    assert answer.json["legal"] == ["active", "cancelled", "completed", "expired", "failed"]


@pytest.mark.parametrize(
    "body", [{}, {"text": " ", "client_message_id": "m"}, {"text": "a\0", "client_message_id": "m"}]
)
def test_what_is_no_question_is_refused(session: dict[str, Any], body: object) -> None:
    answer = call("POST", f"/v1/sessions/{session['id']}/turns", body=body)
    assert refused(answer) == (422, "invalid_request")


def test_a_fork_under_a_key_is_made_once(studio: Studio, session: dict[str, Any]) -> None:
    keyed = {"idempotency-key": "k"}
    body = {"checkpoint": 0, "text": "Again?"}
    forks = [asked("fork_session", body, session_id=session["id"], headers=keyed) for _ in range(2)]
    assert len({fork["session"]["id"] for fork in forks}) == len({fork["turn"]["id"] for fork in forks}) == 1


def test_a_fork_that_can_ask_nothing_yet_is_not_made(studio: Studio) -> None:
    studio.template(name="greeting")
    waiting = asked("create_session", {"template": {"name": "greeting"}})
    before = studio.kb.one("SELECT count(*) FROM agent_sessions")
    path, headers = f"/v1/sessions/{waiting['id']}/fork", {"idempotency-key": "k"}
    answer = call("POST", path, body={"checkpoint": 0, "text": "Hello?"}, headers=headers)
    assert refused(answer) == (409, "illegal_move")
    assert studio.kb.one("SELECT count(*) FROM agent_sessions") == before
    assert call("POST", path, body={"checkpoint": 0}, headers=headers).status == 201


def test_a_turn_that_is_not_next_comes_back(studio: Studio, session: dict[str, Any]) -> None:
    for number in (1, 2):
        asked("ask_turn", {"text": f"{number}?", "client_message_id": f"m{number}"}, session_id=session["id"])
    studio.queue.messages.reverse()
    studio.model.then("First.")
    assert work(studio) == [{"itemIdentifier": "message-0"}]


def test_the_name_in_the_token_is_a_system_variable(kb: KnowledgeBase, studio: Studio) -> None:
    template = studio.template("""{{role "system"}}Speak to {{@user.name}} in {{@locale}} on {{@date}}.""")
    body = {"template": {"id": str(template)}, "locale": "de-AT"}
    answer = asked("generate_prompt", body)
    assert answer["messages"][0]["content"].startswith("Speak to  in de-AT on 20")


def test_a_session_goes_on_without_a_collection_that_is_deleted(kb: KnowledgeBase, studio: Studio) -> None:
    papers, others = kb.collection(name="papers"), kb.collection(name="others")
    kb.add(papers, "# Sea\n\nWhales sing in the deep.")
    source = LIBRARIAN.replace("  top_k: 3\n", "  top_k: 3\n  collections: [papers, others]\n")
    body = {"template": {"id": str(studio.template(source))}, "variables": {"topic": "whales"}}
    session = asked("create_session", body)
    for gone, found in ((others, 1), (papers, 0)):
        asked("delete_collection", collection_id=str(gone.id))
        said(studio, session["id"], "Do whales sing?", "They do [1].")
        message = asked("list_session_messages", session_id=session["id"])["items"][-1]
        assert len(message["citations"] or []) == found


def test_long_messages_come_in_shorter_pages(
    studio: Studio, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        said(studio, session["id"], f"{number}?", "Long. " * 50)
    monkeypatch.setattr(pagination, "MOST_BYTES", 1000)
    found, after = [], 0
    while after is not None:
        page = asked("list_session_messages", session_id=session["id"], after=after)
        found += page["items"]
        after = page["next_after"]
        assert len(page["items"]) < 6
    assert [message["ordinal"] for message in found] == [1, 2, 3, 4, 5, 6]
