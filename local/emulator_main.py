"""Runs inside the emulator's own environment: MiniStack, with its state written now and then, not only at its end.

By itself it writes its state when it is told to stop, so whatever happened since the start would be lost with a
power cut or a kill. Kept to the standard library and MiniStack: nothing of ours is importable here.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from typing import Any

CHECKPOINT_SECONDS = 60


def main() -> None:
    sys.path.pop(0)  # this folder, whose modules are not meant for the emulator
    from ministack import app  # type: ignore[import-not-found]

    wanted = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: wanted.set())
    threading.Thread(target=_checkpoints, args=(app, wanted), daemon=True).start()
    app.main()


def _checkpoints(app: Any, wanted: threading.Event) -> None:
    # Nothing is written before the first request for it: a deployment must not be saved half done.
    wanted.wait()
    while True:
        wanted.clear()
        started = time.monotonic()
        app.save_all(app._build_persistence_save_dict())
        logging.getLogger("spandrel").info("state written in %.2f s", time.monotonic() - started)
        wanted.wait(CHECKPOINT_SECONDS)


if __name__ == "__main__":
    main()
