"""Integrations and the feed as they are deployed: a real MCP server, a real WebSocket, all told as it happens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.support.mcp_servers import SdkServer
from tests.support.screen import Screen
from tests.support.stack_user import StackUser, until

SOURCE = """---
spandrel.capabilities: [echo.say]
---
{{role "system"}}
You repeat what you are told.
"""
ROUND = 75
"""Seconds: a check interval, what confirms the finding, and the schedule's own minute."""


@pytest.fixture
def user(stack: Any) -> StackUser:
    return StackUser(stack)


@pytest.fixture
def screen(user: StackUser) -> Iterator[Screen]:
    with Screen(user) as found:
        yield found


def integrate(user: StackUser, server: SdkServer) -> str:
    """Saved, and its first check decided."""
    saved = user.call("POST", "/v1/integrations", {"name": "Work", "url": server.url}, status=201)
    user.call("POST", f"/v1/integrations/{saved['id']}/checks", status=200)
    assert user.call("GET", f"/v1/integrations/{saved['id']}")["status"] == "healthy"
    return str(saved["id"])


def session_of(user: StackUser) -> str:
    template = user.call("POST", "/v1/templates", {"name": f"echo-{uuid4().hex[:8]}", "source": SOURCE})
    return str(user.call("POST", "/v1/sessions", {"template": {"id": template["template"]["id"]}})["id"])


def ask(screen: Screen, session: str, text: str) -> str:
    since = screen.mark()
    screen.send(action="send_message", session_id=session, client_message_id=uuid4().hex, text=text)
    return str(screen.wait("accepted", since=since)["turn_id"])


def offered(user: StackUser, session: str) -> dict[str, Any]:
    [match] = user.call("GET", f"/v1/sessions/{session}")["capabilities_now"]
    return dict(match)


def test_a_server_breaks_and_comes_back_and_the_conversation_knows(user: StackUser, screen: Screen) -> None:
    with SdkServer() as server:
        port = server.port
        integration = integrate(user, server)
        screen.wait("integration.created")
        screen.wait("integration.status_changed", to="healthy")
        screen.wait("tool.added", name="echo")
        change = {"capabilities": ["echo.say"], "policy": "ask"}
        user.call("PATCH", f"/v1/integrations/{integration}/tools/echo", change)
        session = session_of(user)
        assert offered(user, session)["available"]

        # A call that its user is asked for, on the feed, and allows for good.
        turn = ask(screen, session, "Please call work__echo for me.")
        asked = screen.wait("approval.requested", turn_id=turn)
        screen.wait("turn.waiting")
        approval = asked["subject"].removeprefix("tool-approvals/")
        word = {"decision": "approved", "remember": True}
        user.call("POST", f"/v1/tool-approvals/{approval}/decision", word, status=200)
        screen.wait("turn.completed")
        answer = user.call("GET", f"/v1/turns/{turn}")["text"]
        assert screen.text(turn) == answer
        messages = user.call("GET", f"/v1/sessions/{session}/messages")["items"]
        [told] = [message["content"] for message in messages if message["role"] == "tool"]
        assert "Please call work__echo for me." in told
        assert told.startswith("<<<")

    # Nobody asks for a check: the schedule finds out by itself.
    since = screen.mark()
    screen.wait("integration.status_changed", ROUND, since, to="unreachable", reason="refused")
    lost = screen.wait("session.capabilities_changed", since=since)
    assert lost["data"]["lost"] == ["echo.say"]
    assert offered(user, session)["reason"] == "refused"
    turn = ask(screen, session, "Please call work__echo again.")
    screen.wait("turn.completed", since=since)
    messages = user.call("GET", f"/v1/sessions/{session}/messages")["items"]
    assert not [message for message in messages if message["turn_id"] == turn and message["role"] == "tool"]

    with SdkServer(port=port) as server:
        since = screen.mark()
        user.call("POST", f"/v1/integrations/{integration}/checks", status=200)
        screen.wait("integration.status_changed", since=since, to="healthy")
        gained = screen.wait("session.capabilities_changed", since=since)
        assert gained["data"]["gained"] == ["echo.say"]
        turn = ask(screen, session, "Please call work__echo once more.")
        screen.wait("turn.completed", since=since)
        messages = user.call("GET", f"/v1/sessions/{session}/messages")["items"]
        assert [message["role"] for message in messages if message["turn_id"] == turn].count("tool") == 1
    assert screen.seqs() == list(range(screen.seqs()[0], screen.seqs()[0] + len(screen.seqs())))


def test_what_happened_while_a_client_was_away_comes_first_and_in_order(user: StackUser) -> None:
    with Screen(user) as screen:
        user.collection()
        screen.wait("collection.created")
        seen = screen.seqs()[-1]
    for _ in range(5):
        user.collection()
    with Screen(user, after_seq=seen) as again:
        before = again.types().index("live")
        assert again.types()[:before].count("collection.created") == 5
        user.collection()
        until(lambda: len(again.seqs()) == 6, what="the sixth event")
        assert again.seqs() == list(range(seen + 1, seen + 7))


def test_two_screens_of_a_user_see_the_same_and_another_user_nothing(user: StackUser, screen: Screen) -> None:
    with Screen(user) as second, Screen(StackUser(user.stack)) as other:
        user.collection()
        for each in (screen, second):
            each.wait("collection.created")
        assert screen.seqs() == second.seqs()
        assert other.seqs() == []


def test_an_answer_is_streamed_as_it_is_kept(user: StackUser, screen: Screen) -> None:
    template = user.call("POST", "/v1/templates", {"name": f"talk-{uuid4().hex[:8]}", "source": "You talk."})
    session = user.call("POST", "/v1/sessions", {"template": {"id": template["template"]["id"]}})["id"]
    turn = ask(screen, session, "Tell me something.")
    screen.wait("turn.completed")
    assert screen.text(turn) == user.call("GET", f"/v1/turns/{turn}")["text"] != ""


def test_health_tells_every_component_with_its_evidence(user: StackUser) -> None:
    def states() -> dict[str, str]:
        components = user.call("GET", "/v1/health/details")["components"]
        return {component["name"]: component["state"] for component in components}

    names = {"turns", "sessions", "events", "documents", "integrations", "reconciliation"}
    assert states().keys() == names
    until(lambda: states() == dict.fromkeys(names, "ok"), ROUND, "a round of health checks")
