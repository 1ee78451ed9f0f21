"""What the README waits for comes to an end."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text()
WAITS = re.findall(r"^until curl .*; done$", README, re.MULTILINE)


def test_documents_and_turns_are_waited_for() -> None:
    assert [re.findall(r"/v1/(\w+)/", wait) for wait in WAITS] == [["documents"], ["turns"]]


@pytest.mark.parametrize("wait", WAITS)
def test_a_wait_ends_where_what_is_waited_for_fails_and_says_why(wait: str) -> None:
    said = '{"id":"x","status":"failed","error":{"code":"document_empty","message":"There is no text in it."}}'
    script = f"URL=x DOCUMENT=x TURN=x AUTH=x; curl() {{ echo '{said}'; }}; {wait}"
    done = subprocess.run(["bash", "-eu", "-c", script], capture_output=True, text=True, timeout=10, check=True)
    assert done.stdout == said + "\n"
