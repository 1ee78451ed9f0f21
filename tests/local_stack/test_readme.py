"""The README's first upload and search, run as it is written."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.support.stack_user import StackUser

ROOT = Path(__file__).parents[2]


def test_the_first_upload_and_search_work_as_written(stack, tmp_path):
    section = (ROOT / "README.md").read_text().split("## A first upload and search")[1]
    [script] = re.findall(r"```sh\n(.*?)```", section.split("\n## ")[0], re.DOTALL)
    demo = StackUser(stack, stack.token())
    for row in demo.call("GET", "/v1/collections")["items"]:  # of a run before, where the stack is not a fresh one
        demo.call("DELETE", f"/v1/collections/{row['id']}")
    # A folder that looks like the repository in which `make local-start` was run.
    (tmp_path / ".local").symlink_to(stack.home)
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parent.parent)
    (tmp_path / "README.md").symlink_to(ROOT / "README.md")
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=tmp_path,
        env=stack.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout[done.stdout.index("{\n") :])
    assert {hit["document_name"] for hit in answer["hits"]} == {"README.md"}
    assert answer["hits"][0]["heading_path"][0] == "Spandrel"
