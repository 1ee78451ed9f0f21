"""A nursery of turn workers that a test may kill: `python -m tests.support.turn_worker URL PROVIDER`.

Everything is imported once; each line on standard input is a turn's message and forks a worker, whose process id is
answered, and then its outcome or "killed".
"""

from __future__ import annotations

import os
import sys

import msgspec

from spandrel.adapters.openai_chat import OpenAIChatModel
from spandrel.chat import progress
from spandrel.chat.ask import Invocation
from spandrel.chat.turn import RunTurn
from spandrel.database import Database
from spandrel.prompts import tokens
from spandrel.sessions.messages import TurnTask
from spandrel.settings import ChatSettings
from spandrel.usage.prices import PriceTable
from tests.support.postgres import settings_for

LEASE_SECONDS = 60


def run_turn(url: str, provider: str) -> RunTurn:
    chat = ChatSettings("test-model", provider, "none", None, 10, 8000)
    return RunTurn(
        Database(settings_for(url), "spandrel_app"),
        OpenAIChatModel(chat, lambda: "none"),
        lambda: None,  # type: ignore[arg-type, return-value]
        PriceTable.load(),
        8000,
        LEASE_SECONDS,
    )


def main(url: str, provider: str) -> None:
    progress.SAVE_SECONDS = 0.05
    tokens.exact("Warm.")  # the vocabulary takes its time
    import openai  # noqa: F401

    for line in sys.stdin:
        task = msgspec.json.decode(line, type=TurnTask)
        if (child := os.fork()) == 0:
            outcome = run_turn(url, provider).run(task, Invocation(remaining=lambda: 60.0))
            print(outcome.value, flush=True)
            os._exit(0)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            print("killed", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
