"""Cold start: process start to the first answer of a text search, and to the first session committed, beside the same
handlers with the usual imports and, for the session, LangGraph.

    python -m benchmarks.cold_start

Each run is a new Python process with warm file caches and compiled bytecode, as a Lambda environment has. It is timed
from before its start to its answer: what a process takes to end is nobody's wait. The peer is our own handler that also
imports boto3, openai, fastapi and Powertools' Tracer and makes their clients, as such handlers do; for the session it
registers the types of pgvector too. LangGraph makes a graph and a model of langchain_openai, and commits the first
checkpoint of a thread.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psycopg
from psycopg.rows import dict_row

from benchmarks import server
from benchmarks.corpus import Corpus, Tenant, load
from spandrel.templates.store import NewTemplate
from spandrel.templates.templates import Templates

ROUNDS = 15
ROOT = Path(__file__).parents[1]
TEMPLATE = '---\ninput:\n  schema:\n    name: string\n---\n{{role "system"}}You greet {{name}}.'
CALL = """
import json
from types import SimpleNamespace
from functions.{function}.handler import handler
context = SimpleNamespace(function_name="f", memory_limit_in_mb=1, invoked_function_arn="a", aws_request_id="r")
event = {{"requestContext": {{"authorizer": {{"jwt": {{"claims": {{"sub": "tenant"}}}}}}}}, "headers": {{}},
         "body": json.dumps({body!r})}}
answer = handler(event, context)
assert answer["statusCode"] == {status}, answer
"""
ANSWER = CALL.format(function="vector_search", body={"query": "bacada cadafa", "mode": "text"}, status=200)
BEGUN = CALL.format(
    function="session_init", body={"template": {"name": "greeting"}, "variables": {"name": "Bo"}}, status=201
)
TOLD = "\nimport time\nprint(f'\\n{time.monotonic()}')\n"
USUAL = """
import boto3, fastapi, mangum, openai
from aws_lambda_powertools import Tracer
tracer = Tracer(disabled=True)
s3 = boto3.client("s3", region_name="us-east-1")
client = openai.OpenAI(api_key="none")
app = mangum.Mangum(fastapi.FastAPI(), lifespan="off")
"""
REGISTERED = """
import psycopg
from pgvector.psycopg import register_vector
connect = psycopg.connect
def registering(*arguments, **more):
    connection = connect(*arguments, **more)
    register_vector(connection)
    return connection
psycopg.connect = registering
"""
LANGGRAPH = """
import os, psycopg
from psycopg.rows import dict_row
from langchain_core.messages import AIMessage, HumanMessage
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import END, START, MessagesState, StateGraph
model = ChatOpenAI(model="gpt-5.6-luna", api_key="none")
connection = psycopg.connect(os.environ["PEER_URL"], autocommit=True, prepare_threshold=0, row_factory=dict_row)
graph = StateGraph(MessagesState)
graph.add_node("answer", lambda state: {"messages": [AIMessage("Hello.")]})
graph.add_edge(START, "answer")
graph.add_edge("answer", END)
compiled = graph.compile(checkpointer=PostgresSaver(connection))
compiled.invoke({"messages": [HumanMessage("Hello.")]}, {"configurable": {"thread_id": os.urandom(8).hex()}})
"""


def start(code: str, environment: dict[str, str]) -> float:
    """Milliseconds from before the process to its answer: the clock is the machine's, the same for both."""
    begin = time.monotonic()
    process = subprocess.run(
        [sys.executable, "-c", code + TOLD], env=environment, check=True, capture_output=True, text=True, cwd=ROOT
    )
    return (float(process.stdout.splitlines()[-1]) - begin) * 1000


def compare(name: str, ours: str, peers: dict[str, str], environment: dict[str, str]) -> None:
    """Each in turn, the first round not counted; medians, and the medians of the ratios."""
    rounds = [[start(code, environment) for code in (ours, *peers.values())] for _ in range(ROUNDS + 1)][1:]
    mine, *others = (statistics.median(each) for each in zip(*rounds, strict=True))
    print(f"{name}: {mine:.0f} ms", flush=True)
    for place, (peer, taken) in enumerate(zip(peers, others, strict=True), 1):
        ratio = statistics.median(each[place] / each[0] for each in rounds)
        print(f"  {peer}: {taken:.0f} ms, ratio {ratio:.1f}", flush=True)


def main() -> None:
    from langgraph.checkpoint.postgres import PostgresSaver

    with server.postgres() as address:
        url = server.fresh_database(address, "cold", "bench", 8)
        load(url, Corpus(8), Tenant("tenant", 1000), indexed=False)
        Templates(server.as_role(url, "spandrel_app")).create("tenant", NewTemplate("greeting", TEMPLATE))
        with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
            PostgresSaver(connection).setup()
        environment = {
            **os.environ,
            "SPANDREL_DATABASE_URL": url.replace("postgres@", ""),
            "PEER_URL": url,
            "PYTHONPATH": f"{ROOT}:{ROOT}/layers/shared",
            "POWERTOOLS_SERVICE_NAME": "bench",
        }
        compare("process start to first text search", ANSWER, {"with the usual imports": USUAL + ANSWER}, environment)
        peers = {"with the usual imports and types": USUAL + REGISTERED + BEGUN, "LangGraph": LANGGRAPH}
        compare("process start to first session committed", BEGUN, peers, environment)


if __name__ == "__main__":
    main()
