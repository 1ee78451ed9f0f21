"""Every benchmark, one after the other: `make bench`. The million-chunk part is left to `benchmarks.search
--million`, the feed to `benchmarks.feed`, which wants a running stack.
"""

from __future__ import annotations

from benchmarks import (
    broadcast,
    chunking,
    cold_start,
    health,
    ingest,
    keyword,
    prompts,
    search,
    sessions,
    turns,
    watch,
)

for module in (chunking, keyword, prompts, sessions, turns, cold_start, broadcast, health, watch, ingest, search):
    print(f"\n== {(module.__doc__ or '').splitlines()[0]}", flush=True)
    module.main()
