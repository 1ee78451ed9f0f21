"""The stack itself: its door, its description, its life across a restart."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid

import psycopg

KEYS = {
    "http_url",
    "websocket_url",
    "console_url",
    "aws_endpoint_url",
    "region",
    "bucket",
    "user_pool_client_id",
    "username",
    "password",
    "database_url",
}


def test_description_has_exactly_the_agreed_keys(stack):
    assert set(json.loads((stack.home / "stack.json").read_text())) == KEYS


def test_public_routes_need_no_token(stack):
    assert stack.http("GET", "/v1/health").status == 200
    document = stack.http("GET", "/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")


def test_other_routes_need_a_genuine_token(stack):
    token = stack.token()
    head, payload, signature = token.split(".")
    tampered = ".".join([head, payload, signature[:-8] + "AAAAAAAA"])
    assert stack.http("GET", "/v1/collections").status == 401
    assert stack.http("GET", "/v1/collections", token=tampered).status == 401
    assert stack.http("POST", "/v1/search", token=tampered, json_body={"query": "x"}).status == 401
    assert stack.http("GET", "/v1/collections", token=token).status == 200


def test_a_browser_may_call_from_another_origin(stack):
    asked = {"origin": "https://console.example", "access-control-request-method": "POST"}
    answer = stack.http("OPTIONS", "/v1/search", headers=asked)
    assert answer.status == 204
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()


def test_token_command_prints_a_token_that_works(stack):
    printed = subprocess.run(
        [sys.executable, "-c", "from cli.main import app; app()", "token"],
        env=stack.environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert stack.http("GET", "/v1/collections", token=printed).status == 200


def test_doctor_finds_a_running_stack_well(stack):
    done = subprocess.run(
        [sys.executable, "-c", "from cli.main import app; app()", "doctor"],
        env=stack.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_a_second_start_in_the_same_place_is_refused(stack):
    done = stack.run("start")
    assert done.returncode == 1
    assert "runs already" in done.stdout


def test_sync_deploys_nothing_and_the_functions_still_serve(stack):
    """What makes it quick."""
    before = _deployments(stack)
    done = stack.run("sync")
    assert done.returncode == 0, done.stdout + done.stderr
    assert before
    assert _deployments(stack) == before
    assert stack.http("GET", "/v1/health").status == 200


def test_state_survives_a_restart(stack):
    key, s3 = f"kept/{uuid.uuid4().hex}", stack.client("s3")
    s3.put_object(Bucket=stack.bucket, Key=key, Body=b"kept")
    user = f"{uuid.uuid4().hex[:8]}@example.com"
    before = _subject(stack.token(user))
    name = f"kept-{uuid.uuid4().hex[:8]}"
    assert stack.http("POST", "/v1/collections", token=stack.token(user), json_body={"name": name}).status == 201

    stack.stop()
    assert not (stack.home / "stack.json").exists()
    started = time.monotonic()
    stack.start()

    assert time.monotonic() - started < 20
    assert s3.get_object(Bucket=stack.bucket, Key=key)["Body"].read() == b"kept"
    assert _subject(stack.token(user)) == before
    listed = stack.http("GET", "/v1/collections", token=stack.token(user)).json()["items"]
    assert [row["name"] for row in listed] == [name]
    with psycopg.connect(stack.database_url) as connection:
        assert connection.execute("SELECT count(*) FROM schema_migrations").fetchone() != (0,)


def _deployments(stack) -> list[str]:
    """What CloudFormation has done so far."""
    cloudformation = stack.client("cloudformation")
    stacks = [found["StackName"] for found in cloudformation.describe_stacks()["Stacks"]]
    [name] = [name for name in stacks if "spandrel" in name]
    return [event["EventId"] for event in cloudformation.describe_stack_events(StackName=name)["StackEvents"]]


def _subject(token: str) -> str:
    import base64

    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"]
