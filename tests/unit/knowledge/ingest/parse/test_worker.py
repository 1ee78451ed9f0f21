"""What the child process does, here in this process."""

from __future__ import annotations

import io
import json
import resource
import sys
from types import SimpleNamespace

import pytest

from spandrel.errors import DocumentEmptyError
from spandrel.knowledge.ingest.parse import html, worker


def test_an_answer_is_a_line_and_the_text() -> None:
    head, _, text = worker.answer("html", "<h1>\u00e9</h1><p>a\nb".encode()).partition(b"\n")
    assert json.loads(head) == {
        "type": "text/html",
        "blocks": [["heading", 0, 1, 1, None, "\u00e9"], ["paragraph", 3, 6, 0, None, None]],
    }
    assert text.decode() == "\u00e9\n\na b"


@pytest.mark.parametrize(
    ("raised", "name"),
    [
        (DocumentEmptyError("why."), "DocumentEmptyError"),
        (MemoryError(), "DocumentLimitError"),
        (RecursionError(), "DocumentLimitError"),
        (KeyError("x"), "DocumentDamagedError"),
    ],
)
def test_errors_have_names(raised: Exception, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(data: bytes) -> None:
        raise raised

    monkeypatch.setattr(html, "parse", fail)
    assert json.loads(worker.answer("html", b""))["error"] == name


def test_main_sets_limits_and_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: dict[int, tuple[int, int]] = {}
    out = io.BytesIO()
    monkeypatch.setattr(resource, "setrlimit", lambda what, values: limits.update({what: values}))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"<p>hi")))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=out))
    assert worker.main(["html", "1000", "7"]) == 0
    assert out.getvalue().endswith(b"\nhi")
    assert limits[resource.RLIMIT_AS] == (1000, 1000)
    assert limits[resource.RLIMIT_CPU] == (7, 8)


def test_other_modules_are_not_run() -> None:
    assert worker.main(["os", "1", "1"]) == 2
