"""The README's first upload, search and conversation, run as they are written."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.support.stack_user import StackUser

ROOT = Path(__file__).parents[2]


def block(heading: str) -> str:
    section = (ROOT / "README.md").read_text().split(f"## {heading}\n")[1]
    [script] = re.findall(r"```sh\n(.*?)```", section.split("\n## ")[0], re.DOTALL)
    return script


def test_the_first_upload_search_and_conversation_work_as_written(stack, tmp_path):
    demo = StackUser(stack, stack.token())
    for kind in ("collections", "templates"):  # of a run before, where the stack is not a fresh one
        for row in demo.call("GET", f"/v1/{kind}")["items"]:
            demo.call("DELETE", f"/v1/{kind}/{row['id']}")
    # A folder that looks like the repository in which `make local-start` was run.
    (tmp_path / ".local").symlink_to(stack.home)
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parent.parent)
    (tmp_path / "README.md").symlink_to(ROOT / "README.md")
    script = "\necho ====\n".join(map(block, ("A first upload and search", "A first conversation")))
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=tmp_path,
        env=stack.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found, said = (json.loads(part[part.index("{\n") :]) for part in done.stdout.split("===="))
    assert {hit["document_name"] for hit in found["hits"]} == {"README.md"}
    assert found["hits"][0]["heading_path"][0] == "Spandrel"
    question, answer = said["items"]
    assert question["content"] == "Which commands start it?"
    assert answer["citations"][0]["document_name"] == "README.md"
