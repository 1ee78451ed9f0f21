"""The child process from outside."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from spandrel import errors
from spandrel.knowledge.ingest.parse import isolate
from spandrel.knowledge.ingest.parse.isolate import Limits, parse
from tests.corpus.pdf import bomb


def children() -> set[str]:
    """The processes that this one has started and that are still there, dead or alive."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.add(entry.parent.name)
    return found


@pytest.fixture(autouse=True)
def _nothing_is_left(request: pytest.FixtureRequest) -> object:
    before = children()
    yield
    assert children() <= before


def test_a_document_comes_back_whole() -> None:
    document = parse("html", "<h2>T\u00eate</h2><p>one\u2028two".encode())
    assert document.text.startswith("T\u00eate\n\none")
    assert (document.blocks[0].title, document.blocks[0].level) == ("T\u00eate", 2)
    assert document.content_type == "text/html"


def test_errors_come_back_typed() -> None:
    with pytest.raises(errors.DocumentDamagedError, match="PDF"):
        parse("pdf", b"%PDF-1.4")


def test_memory_is_limited() -> None:
    with pytest.raises(errors.DocumentLimitError):
        parse("pdf", bomb(150), Limits(memory=256 << 20))


def test_processor_time_is_limited() -> None:
    with pytest.raises(errors.DocumentLimitError):
        parse("html", b"<div>" * 100_000, Limits(cpu_seconds=1))


def test_the_clock_is_limited() -> None:
    start = time.monotonic()
    with pytest.raises(errors.DocumentLimitError):
        parse("html", b"<div>" * 200_000, Limits(seconds=0.7))
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("code", "output", "error"),
    [
        (-signal.SIGSEGV, b"", errors.DocumentDamagedError),
        (-signal.SIGKILL, b"", errors.DocumentLimitError),
        (1, b"", errors.DocumentLimitError),
        (0, b"", errors.DocumentLimitError),
        (0, b'{"error":"DocumentDamagedError","detail":null,"cause":"KeyError: x"}\n', errors.DocumentDamagedError),
    ],
)
def test_ends_of_the_child(
    code: int, output: bytes, error: type[errors.DocumentError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolate, "_run", lambda *_: (code, output))
    with pytest.raises(error):
        parse("pdf", b"")


def test_the_child_gets_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    assert set(isolate._environment()) <= {"LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH"}
