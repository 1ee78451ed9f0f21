"""Cold start: process start to the first answer of a text search, beside the same handler with the usual imports.

Each run is a new Python process with warm file caches and compiled bytecode, as a Lambda environment has. The peer is
our own handler that also imports boto3, openai, fastapi and Powertools' Tracer and makes their clients, as such
handlers do.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import server
from benchmarks.corpus import Corpus, Tenant, load

ROUNDS = 15
ROOT = Path(__file__).parents[1]
ANSWER = """
import json
from types import SimpleNamespace
from functions.vector_search.handler import handler
context = SimpleNamespace(function_name="f", memory_limit_in_mb=1, invoked_function_arn="a", aws_request_id="r")
event = {"requestContext": {"authorizer": {"jwt": {"claims": {"sub": "tenant"}}}},
         "body": json.dumps({"query": "bacada cadafa", "mode": "text"})}
assert handler(event, context)["statusCode"] == 200
"""
USUAL = """
import boto3, fastapi, mangum, openai
from aws_lambda_powertools import Tracer
tracer = Tracer(disabled=True)
s3 = boto3.client("s3", region_name="us-east-1")
client = openai.OpenAI(api_key="none")
app = mangum.Mangum(fastapi.FastAPI(), lifespan="off")
"""


def start(code: str, environment: dict[str, str]) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    return (time.perf_counter() - begin) * 1000


def main() -> None:
    with server.postgres() as address:
        url = server.fresh_database(address, "cold", "bench", 8)
        load(url, Corpus(8), Tenant("tenant", 1000), indexed=False)
        environment = {
            **os.environ,
            "SPANDREL_DATABASE_URL": url.replace("postgres@", ""),
            "PYTHONPATH": f"{ROOT}:{ROOT}/layers/shared",
            "POWERTOOLS_SERVICE_NAME": "bench",
        }
        pairs = [(start(ANSWER, environment), start(USUAL + ANSWER, environment)) for _ in range(ROUNDS + 1)][1:]
    mine, usual = (statistics.median(each) for each in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    print(f"cold start to first answer: {mine:.0f} ms, with the usual imports {usual:.0f} ms, ratio {ratio:.1f}")


if __name__ == "__main__":
    main()
