"""An event loop in a thread of its own, for synchronous callers of asynchronous adapters.

`asyncio.run` would take the caller's loop away, and what a server does not give back in time may be left behind here.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from functools import lru_cache
from typing import Any, TypeVar

T = TypeVar("T")


@lru_cache(maxsize=1)
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="outbound", daemon=True).start()
    return loop


def run(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns or raises. `work` sees to it that it ends."""
    return asyncio.run_coroutine_threadsafe(work, _loop()).result()
