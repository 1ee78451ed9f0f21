"""A pump that a test may kill: `python -m tests.support.pump_worker URL GATEWAY_URL USER`. It says "ready", then pumps
each time a line comes.
"""

from __future__ import annotations

import asyncio
import os
import sys

from spandrel.adapters.connections import ApiGatewayConnections
from spandrel.database import Database
from spandrel.settings import RealtimeSettings
from tests.support.feed import FakeNews, pumping, run
from tests.support.postgres import settings_for


def main(url: str, gateway_url: str, user: str) -> None:
    os.environ |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}
    gateway = ApiGatewayConnections(RealtimeSettings("unused", gateway_url, "eu-central-1", None))
    with pumping(Database(settings_for(url), "spandrel_system"), gateway, FakeNews()) as pump:
        pump.runner.run(asyncio.sleep(0))
        print("ready", flush=True)
        for _ in sys.stdin:
            run(pump, user)
            print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
