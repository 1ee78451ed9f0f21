"""What each handler may load, seen in a process of its own: a cold start pays for every import."""

from __future__ import annotations

import base64
import json
import os
import struct
import subprocess
import sys
from typing import Any
from uuid import uuid4

import pytest

from spandrel import driver, observability
from spandrel.events.tickets import Tickets
from tests.support.chat_provider import Answer, ChatProvider
from tests.support.events import http_event, sqs_event
from tests.support.feed import Feed
from tests.support.gateway import GatewayServer
from tests.support.http_server import HttpServer, Received, Reply
from tests.support.knowledge import ADA, KnowledgeBase
from tests.support.realtime import sample

# Powertools' logger imports the bare `botocore` package, which is a file of constants; its session is what costs.
HEAVY = {
    "boto3", "botocore.session", "fastapi", "mcp", "openai", "pydantic", "httpx", "httpx2", "numpy", "tiktoken",
    "pypdfium2", "selectolax", "mangum", "aiohttp", "requests", "yaml", "regex", "jsonschema", "dotpromptz",
    "dotpromptz_handlebars",
}  # fmt: skip
PROGRAM = """
import json, sys
from functions.{function}.handler import handler
from tests.support.chat_provider import Answer, ChatProvider
from tests.support.events import Context, http_event, sqs_event
loaded = lambda: sorted(sys.modules)
steps = [loaded()]
for event in json.loads(sys.argv[1]):
    answer = handler(event, Context())
    steps.append(loaded())
    print(json.dumps(answer), file=sys.stderr)
print("\\n" + json.dumps(steps))
"""


def loaded(function: str, events: list[dict[str, Any]], environment: dict[str, str]) -> list[set[str]]:
    """The heavy modules in memory after the import, and after each event."""
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(function=function), json.dumps(events)],
        env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return [HEAVY & set(step) for step in json.loads(process.stdout.splitlines()[-1])]


def search_event(mode: str) -> dict[str, Any]:
    return http_event("POST", "/v1/search", body={"query": "whales", "mode": mode})


def embeddings(request: Received) -> Reply:
    vector = base64.b64encode(struct.pack("<64f", *[0.125] * 64)).decode()
    body = {"object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": vector}]}
    return Reply(200, json.dumps(body).encode(), {"content-type": "application/json"})


def test_a_text_search_loads_nothing_heavy_and_a_vector_search_openai_alone(kb: KnowledgeBase) -> None:
    kb.publish(kb.collection(), ["Whales sing."])
    with HttpServer(embeddings) as server:
        environment = {
            "SPANDREL_DATABASE_URL": kb.url,
            "SPANDREL_EMBEDDING_MODEL": "fake-64",
            "SPANDREL_EMBEDDING_DIMENSIONS": "64",
            "OPENAI_BASE_URL": f"{server.url}/v1",
        }
        steps = loaded("vector_search", [search_event("text"), search_event("hybrid")], environment)
        assert len(server.received) == 1
    assert steps[0] == set()
    assert steps[1] == set()
    assert "openai" in steps[2]
    assert steps[2] & {"boto3", "botocore.session", "fastapi", "mcp", "mangum", "numpy"} == set()


def test_a_chat_model_is_made_and_asked_for_little_and_openai_comes_with_its_first_answer() -> None:
    """What a function pays that only says what a turn is to be."""
    program = """
import json, os, sys
from spandrel import wiring
from spandrel.chat.models import ChatMessage, ChatRequest, ToolSpec
request = ChatRequest("m", (ChatMessage("user", "What sings?"),), (ToolSpec("a", "b", {}),), {"temperature": 0})
steps = [sorted(sys.modules)]
stream = wiring.chat_model().stream(request, timeout=5)
steps.append(sorted(sys.modules))
list(stream)
steps.append(sorted(sys.modules))
print(json.dumps(steps))
"""
    with ChatProvider([Answer("Whales.")]) as provider:
        environment = {"SPANDREL_DATABASE_URL": "postgresql:///none", "OPENAI_BASE_URL": provider.url}
        process = subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]} | environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert process.returncode == 0, process.stderr
    defined, made, answered = (HEAVY & set(step) for step in json.loads(process.stdout))
    assert (defined, made) == (set(), set())
    assert "openai" in answered
    assert answered & {"boto3", "botocore.session", "fastapi", "mcp", "mangum", "numpy", "tiktoken"} == set()


def test_what_goes_out_is_made_for_little_and_the_sdk_comes_with_the_first_look() -> None:
    program = """
import json, os, sys
from spandrel.integrations.models import Target
from spandrel.wiring import outbound
made = (outbound.prober(), outbound.caller(), outbound.registry(), outbound.secret_box())
steps = [sorted(sys.modules)]
outbound.prober().probe(Target("http://127.0.0.1:1/"), timeout=5)
steps.append(sorted(sys.modules))
print(json.dumps(steps))
"""
    environment = {
        "SPANDREL_DATABASE_URL": "postgresql:///none",
        "SPANDREL_SECRET_KEY": base64.b64encode(b"k" * 32).decode(),
        "SPANDREL_ALLOW_LOOPBACK": "true",
    }
    process = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    made, looked = (HEAVY & set(step) for step in json.loads(process.stdout))
    assert made == set()
    assert {"mcp", "httpx2"} <= looked
    assert looked & {"boto3", "botocore.session", "fastapi", "openai", "mangum", "numpy", "aiohttp"} == set()


def test_the_ingest_loads_its_parsers_with_the_first_document() -> None:
    assert loaded("document_ingest", [], {}) == [set()]


def test_the_websocket_routes_load_nothing_heavy(kb: KnowledgeBase) -> None:
    ticket = Tickets(kb.app, "").issue(ADA).ticket
    connect = sample("connect", "c") | {"queryStringParameters": {"ticket": ticket}}
    send = {"action": "send_message", "session_id": str(uuid4()), "client_message_id": "1", "text": "Hi"}
    events = [connect, sample("message", "c"), sample("message", "c") | {"body": json.dumps(send)}]
    assert loaded("realtime", [*events, sample("disconnect", "c")], {"SPANDREL_DATABASE_URL": kb.url}) == [set()] * 5


def test_the_schema_function_loads_nothing_heavy() -> None:
    assert loaded("migrate", [], {}) == [set()]


def test_upkeep_loads_nothing_heavy() -> None:
    assert loaded("knowledge_upkeep", [], {}) == [set()]
    assert loaded("health_check", [], {}) == [set()]


def test_the_broadcast_loads_nothing_heavy(kb: KnowledgeBase) -> None:
    feed = Feed(kb.url)
    feed.open("a", after=0)
    with GatewayServer() as server:
        environment = {"SPANDREL_DATABASE_URL": kb.url, "SPANDREL_CONNECTIONS_URL": server.url}
        environment |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}
        steps = loaded("event_broadcast", [sqs_event('{"user_id": "ada"}')], environment)
        assert server.told("a") == ["live 0"]
    feed.close()
    assert steps == [set()] * 2


def test_the_api_loads_its_framework_alone(kb: KnowledgeBase) -> None:
    steps = loaded("api", [http_event("GET", "/v1/health")], {"SPANDREL_DATABASE_URL": kb.url})
    assert steps == [{"fastapi", "pydantic", "mangum"}] * 2


@pytest.mark.parametrize("function", ["session_init", "prompt_generate", "vector_search", "realtime"])
def test_the_lean_handlers_leave_out_what_only_their_libraries_name(function: str) -> None:
    program = f"import functions.{function}.handler, sys; print(*sys.modules)"
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]}
    process = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    found = set(process.stdout.split())
    assert "psycopg" in found
    assert found & {*driver.LEFT_OUT, *observability.LEFT_OUT, "jmespath", "platform"} == set()


def test_composing_a_prompt_loads_nothing_heavy() -> None:
    program = """
import sys
from spandrel.templates import bind, models, render
variable = models.Variable(name="a", type="string", required=True, schema={"type": "string"})
structure = models.Structure(
    config={}, variables=[variable], capabilities=[], tools=[], partials=[], sections=[], roles=[]
)
values = bind.bind(structure, {"a": "x"}).values
assert render.render([1, 2, [["=", 0, "a"]]], values, {}) == [render.Rendered("user", "x")]
print(*sys.modules)
"""
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]}
    process = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    found = set(process.stdout.split())
    assert found & (HEAVY | {"psycopg"}) == set()
    assert {name for name in found if name.startswith("spandrel.") and not name.startswith("spandrel.errors")} == {
        "spandrel.templates", "spandrel.templates.bind", "spandrel.templates.conform",
        "spandrel.templates.models", "spandrel.templates.render",
    }  # fmt: skip
