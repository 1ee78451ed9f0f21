"""A whole round of checks: 1,000 integrations of 50 users claimed, probed, judged and written, on embedded Postgres.

The servers are those of `benchmarks.health`: two answers of 50 ms a probe, in two processes on the same cores.
"""

from __future__ import annotations

import time

from benchmarks.health import CONCURRENCY, INTEGRATIONS, serving
from spandrel.adapters.mcp_client import McpClient
from spandrel.adapters.outbound_faults import Policy
from tests.support.hub import GOOD, Hub
from tests.support.knowledge import KnowledgeBase
from tests.support.postgres import TEMPLATE, Cluster

_SAVE = """
    INSERT INTO integrations (user_id, slug, name, url)
    SELECT 'user-' || n %% 50, 's' || n, 's' || n, 'http://127.0.0.1:' || (ARRAY[%s, %s])[n %% 2 + 1] || '/mcp'
    FROM generate_series(1, %s) n"""


def main() -> None:
    cluster = Cluster()
    try:
        cluster.make_template()
        with cluster.database(TEMPLATE) as name, serving() as one, serving() as other:
            kb = KnowledgeBase(cluster.url(name))
            kb.rows(_SAVE, one, other, INTEGRATIONS)
            hub = Hub(kb)
            client = McpClient(Policy(allow_loopback=True))
            for what in ("first, with new tools", "second"):
                _round(hub, f"real servers, {what}", prober=client, concurrency=CONCURRENCY)
            hub.prober.answers = {row["url"]: GOOD for row in kb.rows("SELECT DISTINCT url FROM integrations")}
            for what in ("other tools", "the same tools"):
                _round(hub, f"no servers, {what}")
            kb.close()
    finally:
        cluster.stop()


def _round(hub: Hub, name: str, **watch: object) -> None:
    hub.due()
    begin = time.perf_counter()
    report = hub.watch(**watch).run(50)
    seconds = time.perf_counter() - begin
    assert (report.checked, report.failed, report.unwritable) == (INTEGRATIONS, 0, 0), report
    print(f"{name}: {report.checked} checks in {seconds:.2f} s, {report.checked / seconds:.0f} a second", flush=True)


if __name__ == "__main__":
    main()
