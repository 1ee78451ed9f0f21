"""Session init and prompt generation, warm: API Gateway event to response, with a template of 20 variables.

    python -m benchmarks.sessions

Nothing is logged. A composition that is at hand is timed alone as well: what is left of composing when nothing changed.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from benchmarks import server
from benchmarks.prompts import body, values
from functions.prompt_generate import handler as prompts
from functions.session_init import handler as sessions
from spandrel import wiring
from spandrel.prompts.generate import GeneratePrompt
from spandrel.prompts.models import TemplateRef
from spandrel.prompts.prepare import Prepare, User
from spandrel.sessions.begin import BeginSession
from spandrel.templates.store import NewTemplate
from spandrel.templates.templates import Templates

CALLS = 500
CONTEXT = SimpleNamespace(
    function_name="session_init", memory_limit_in_mb=1769, invoked_function_arn="arn", aws_request_id="bench"
)


def template_source() -> str:
    system, user = body("{{", "}}")
    schema = "".join(f"    {name}: string, what it is\n" for name in values())
    return f'---\ninput:\n  schema:\n{schema}---\n{{{{role "system"}}}}{system}{{{{role "user"}}}}{user}'


def event(content: dict[str, Any]) -> dict[str, Any]:
    claims = {"jwt": {"claims": {"sub": "bench"}}}
    return {"requestContext": {"authorizer": claims, "requestId": "bench"}, "headers": {}, "body": json.dumps(content)}


def milliseconds(run: Callable[[int], object]) -> tuple[float, float]:
    """Median and 99th percentile."""
    for number in range(50):
        run(number)
    times = []
    for number in range(50, 50 + CALLS):
        begin = time.perf_counter()
        run(number)
        times.append((time.perf_counter() - begin) * 1000)
    times.sort()
    return statistics.median(times), times[int(CALLS * 0.99)]


def main() -> None:
    with server.postgres() as address:
        url = server.fresh_database(address, "sessions", "bench", 8)
        database = server.as_role(url, "spandrel_app")
        template_id = Templates(database).create("bench", NewTemplate("bench", template_source())).template.id
        prepare = Prepare(database, lambda: None)  # type: ignore[arg-type, return-value]
        begin = BeginSession(database, prepare, lambda: None, "bench")  # type: ignore[arg-type, return-value]
        generate = GeneratePrompt(prepare)
        wiring.begin_session = lambda: begin  # type: ignore[assignment]
        wiring.generate_prompt = lambda: generate  # type: ignore[assignment]
        for module in (sessions, prompts):
            module.count = lambda *_: None  # type: ignore[assignment]
        asked = {"template": {"id": str(template_id)}, "variables": values()}

        def fresh(number: int) -> dict[str, Any]:
            return asked | {"variables": values() | {"variable_0": f"call {number}"}}

        def call(function: Any, content: dict[str, Any], status: int) -> None:
            answer = function(event(content), CONTEXT)
            assert answer["statusCode"] == status, answer["body"]

        for name, run in (
            ("session init", lambda number: call(sessions.handler, fresh(number), 201)),
            ("prompt generation, other values each time", lambda number: call(prompts.handler, fresh(number), 200)),
            ("prompt generation, composed before", lambda _: call(prompts.handler, asked, 200)),
        ):
            p50, p99 = milliseconds(run)
            print(f"{name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms", flush=True)
        context = prepare.context("bench", TemplateRef(id=template_id))
        p50, p99 = milliseconds(lambda _: prepare.compose(User("bench"), context, values(), "en"))
        print(f"composition at hand: p50 {p50 * 1000:.0f} us, p99 {p99 * 1000:.0f} us", flush=True)


if __name__ == "__main__":
    main()
