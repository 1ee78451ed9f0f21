"""Runs a parser in a child process that is always gone when the call returns."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from spandrel import errors
from spandrel.knowledge.ingest.parse.models import Block, ParsedDocument

_log = logging.getLogger(__name__)
_MODULE = "spandrel.knowledge.ingest.parse.worker"
_KEPT = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH")  # nothing secret goes to the child
_OUT_OF_LIMITS = frozenset((signal.SIGXCPU, signal.SIGKILL, signal.SIGABRT, signal.SIGTRAP, signal.SIGILL))


@dataclass(frozen=True, slots=True)
class Limits:
    """What one document may use: address space in bytes, processor seconds, seconds by the clock."""

    memory: int = 768 << 20
    cpu_seconds: int = 20
    seconds: float = 60.0


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path if entry)
    return {**kept, "PYTHONPATH": path}


def _run(format_name: str, data: bytes, limits: Limits) -> tuple[int, bytes]:
    """The child's return code and output. Raises `DocumentLimitError` when time is up."""
    command = [sys.executable, "-S", "-P", "-X", "utf8", "-m", _MODULE, format_name]
    command += [str(limits.memory), str(limits.cpu_seconds)]
    child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment()
    )
    with child:
        try:
            output, _ = child.communicate(data, timeout=limits.seconds)
        except subprocess.TimeoutExpired:
            raise errors.DocumentLimitError from None
        finally:
            child.kill()
    return child.returncode, output


def parse(format_name: str, data: bytes, limits: Limits | None = None) -> ParsedDocument:
    """`data` parsed by the module `format_name` in a child. Raises subclasses of `DocumentError` only."""
    code, output = _run(format_name, data, limits or Limits())
    if code < 0:
        _log.warning("parser ended by signal %d", -code, extra={"format": format_name})
        if -code in _OUT_OF_LIMITS:
            raise errors.DocumentLimitError
        raise errors.DocumentDamagedError
    head, separator, text = output.partition(b"\n")
    if code or not separator:
        _log.warning("parser ended with code %d", code, extra={"format": format_name})
        raise errors.DocumentLimitError
    return _decode(head, text)


def _decode(head: bytes, text: bytes) -> ParsedDocument:
    result = json.loads(head)
    if "error" in result:
        if "cause" in result:
            _log.warning("parser failed: %s", result["cause"])
        raise getattr(errors, result["error"])(result["detail"])
    blocks = [Block(kind, start, end, level, page, title) for kind, start, end, level, page, title in result["blocks"]]
    return ParsedDocument(text.decode(), blocks, result["type"])
