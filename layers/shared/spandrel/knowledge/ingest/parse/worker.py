"""The child process that parses formats whose parsers are large or native: one document, then it ends.

Document on stdin; on stdout a JSON line (blocks, or an error's name and sentence) and then the text. It has no
credentials in its environment, and limits on its memory and processor time. Keep the imports of this module few.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import Any

from spandrel import errors
from spandrel.knowledge.ingest.parse.models import ParsedDocument

FORMATS = ("html", "pdf", "docx")


def limit(memory: int, seconds: int) -> None:
    """Caps this process at `memory` bytes of address space and `seconds` of processor time."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _encode(head: dict[str, Any], text: str = "") -> bytes:
    return json.dumps(head, separators=(",", ":")).encode() + b"\n" + text.encode()


def answer(format_name: str, data: bytes) -> bytes:
    """What the child writes for `data`."""
    try:
        document: ParsedDocument = import_module(f"spandrel.knowledge.ingest.parse.{format_name}").parse(data)
        blocks = [(b.kind, b.start, b.end, b.level, b.page, b.title) for b in document.blocks]
        return _encode({"type": document.content_type, "blocks": blocks}, document.text)
    except errors.DocumentError as error:
        return _encode({"error": type(error).__name__, "detail": error.detail})
    except (MemoryError, RecursionError):
        return _encode({"error": "DocumentLimitError", "detail": None})
    except Exception as error:  # noqa: BLE001 - whatever a parser trips over, the file is at fault
        return _encode({"error": "DocumentDamagedError", "detail": None, "cause": f"{type(error).__name__}: {error}"})


def main(arguments: list[str]) -> int:
    """`worker FORMAT MEMORY_BYTES CPU_SECONDS`, document on stdin."""
    format_name, memory, seconds = arguments
    if format_name not in FORMATS:
        return 2
    limit(int(memory), int(seconds))
    sys.stdout.buffer.write(answer(format_name, sys.stdin.buffer.read()))
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    import os

    os._exit(main(sys.argv[1:]))  # nothing to tidy up, and native libraries may be in no state to try
