"""The deployed API against its own OpenAPI document: schemathesis makes requests up, legal and not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.stack_user import StackUser

SEED = "20"
# A body may be legal by its schema and still be refused: an overlap that does not fit its size, a key used before,
# a filter nested too deep, a template with faults, a warning above its limit, a stretch of time that ends before it
# begins, a template that is not named, a cursor that nobody gave, a place that the feed has not reached. What the
# schema says of everything else is held to. Nobody waits for what will not happen.
CONFIG = """
continue-on-failure = true
[[operations]]
include-operation-id = [
  "create_collection", "create_documents", "search", "put_budget", "put_session_budget", "get_usage",
  "create_template", "save_template_version", "set_template_label", "create_session", "generate_prompt", "fork_session",
  "list_conversations", "list_events", "maintain_integration", "list_integration_tools",
]
checks.positive_data_acceptance.enabled = false
[parameters]
"query.wait" = 0
"""
# What leads, or would lead a minute later, to servers that somebody else runs.
OUTWARD = ("create_integration", "change_integration", "discover_integration", "search_integration_registry")


@pytest.fixture(scope="module")
def user(stack):
    return StackUser(stack)


def test_what_is_served_is_what_is_published(stack):
    published = (Path(__file__).parents[2] / "docs" / "openapi.json").read_text()
    assert stack.http("GET", "/v1/openapi.json").json() == json.loads(published)


def test_requests_made_up_from_the_document_are_answered_as_it_says(user, tmp_path):
    _run(user, tmp_path, CONFIG, "--max-examples=10")


def test_requests_for_what_exists_are_answered_as_the_document_says(user, tmp_path):
    """The same with ids that lead somewhere, so that more than 404 is judged."""
    collection = user.collection()
    document = user.ready(collection, "found.md", b"# Found\n\nA document for every request.")["id"]
    ids = f'"path.collection_id" = "{collection}"\n"path.document_id" = "{document}"\n'
    excluded = ("delete_document", "delete_collection", "get_health", "get_openapi", "search", "list_collections")
    options = [f"--exclude-operation-id={name}" for name in excluded]
    _run(user, tmp_path, CONFIG + ids, "--phases=coverage,fuzzing", "--max-examples=10", *options)
    assert user.hits("a document for every request", collections=[collection])[0]["document_id"] == document


def _run(user: StackUser, folder: Path, config: str, *options: str) -> None:
    (folder / "schemathesis.toml").write_text(config)
    root = user.stack.http_url
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file=schemathesis.toml", "run"]
    command += [f"{root}/v1/openapi.json", f"--url={root}", f"--header=Authorization: Bearer {user.token}"]
    command += [f"--seed={SEED}", "--generation-deterministic", "--no-color", "--warnings=off", "--request-timeout=30"]
    command += [f"--exclude-operation-id={name}" for name in OUTWARD]
    done = subprocess.run(
        [*command, *options],
        cwd=folder,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    print(done.stdout[-3000:])
    assert done.returncode == 0, done.stdout + done.stderr
