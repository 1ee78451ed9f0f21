"""The adapter against the server of the one-machine run, over real HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from local.config import LOCAL_CHAT_MODEL
from local.model_chat import STAND_IN
from local.model_server import App
from spandrel.adapters.openai_chat import OpenAIChatModel
from spandrel.chat.models import ChatMessage, ChatRequest, Completion, TextDelta, ToolSpec
from spandrel.settings import ChatSettings

LOOKUP = ToolSpec("lookup", "Looks up.", {"properties": {"q": {"type": "string"}}, "required": ["q"]})


@pytest.fixture(scope="module")
def model() -> Iterator[OpenAIChatModel]:
    server = uvicorn.Server(uvicorn.Config(App(), port=0, log_level="error", lifespan="on", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    settings = ChatSettings(LOCAL_CHAT_MODEL, f"http://127.0.0.1:{port}/v1", None, None, 10, 8192)
    yield OpenAIChatModel(settings, lambda: "local")
    server.should_exit = True
    thread.join()


def ask(model: OpenAIChatModel, *messages: ChatMessage) -> tuple[list[str], Completion]:
    *deltas, last = model.stream(ChatRequest(LOCAL_CHAT_MODEL, messages, (LOOKUP,)), timeout=30)
    assert isinstance(last, Completion)
    return [delta.text for delta in deltas if isinstance(delta, TextDelta)], last


def test_an_answer_is_streamed_with_its_usage(model: OpenAIChatModel) -> None:
    deltas, whole = ask(model, ChatMessage("user", "What sings?"))
    assert len(deltas) > 10
    assert whole.text.startswith(STAND_IN)
    assert (whole.finish_reason, whole.model, whole.usage.estimated) == ("stop", LOCAL_CHAT_MODEL, False)
    assert whole.usage.input_tokens > 0


def test_a_tool_is_called_and_its_result_quoted(model: OpenAIChatModel) -> None:
    question = ChatMessage("user", "Use lookup.")
    _, called = ask(model, question)
    [call] = called.tool_calls
    assert (call.name, call.arguments, called.finish_reason) == ("lookup", {"q": "Use lookup."}, "tool_calls")
    said = ChatMessage("assistant", "", called.tool_calls)
    _, whole = ask(model, question, said, ChatMessage("tool", "whales", tool_call_id=call.id))
    assert 'lookup answered: "whales"' in whole.text
