"""A stack of the tests' own, beside a developer's: its own folder, its own ports, one for the whole session.

`SPANDREL_TEST_STACK=.local` uses a stack that runs already instead, for quick repeats while one writes a test.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class LocalStack:
    """The running stack: what `stack.json` says, tokens, HTTP, boto3 clients."""

    home: Path
    port: int
    values: dict[str, Any] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        """`stack.http_url`, `stack.bucket`, `stack.database_url`, … as in `stack.json`."""
        try:
            return self.__dict__["values"][name]
        except KeyError:
            raise AttributeError(name) from None

    def token(self, username: str | None = None) -> str:
        """An access token: the demo user's, or that of another user, who is made if need be."""
        cognito = self.client("cognito-idp")
        password = self.password
        if username is None:
            username = self.username
        else:
            self._ensure_user(cognito, username, password)
        answer = cognito.initiate_auth(
            ClientId=self.user_pool_client_id,
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": username, "PASSWORD": password},
        )
        return answer["AuthenticationResult"]["AccessToken"]

    def new_user(self) -> str:
        """The token of a user that nobody has seen before."""
        return self.token(f"{uuid.uuid4().hex[:12]}@example.com")

    def http(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        json_body: Any = None,
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
        timeout: float = 60,
    ) -> Response:
        """One request; `path` is joined to the API's root unless it is a whole URL. Never raises for a status."""
        url = path if path.startswith("http") else self.http_url + path
        sent = dict(headers or {})
        if token:
            sent["authorization"] = f"Bearer {token}"
        if json_body is not None:
            data, sent["content-type"] = json.dumps(json_body).encode(), "application/json"
        request = urllib.request.Request(url, data=data, headers=sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return Response(answer.status, _lower(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Response(error.code, _lower(error.headers), error.read())

    def post_form(self, form: dict[str, Any], content: bytes, name: str = "file") -> Response:
        """Uploads `content` as a browser would with a presigned POST (`{"url": …, "fields": {…}}`)."""
        edge = uuid.uuid4().hex
        parts = [
            f'--{edge}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
            for key, value in form["fields"].items()
        ]
        parts.append(f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode())
        body = b"".join([*parts, content, f"\r\n--{edge}--\r\n".encode()])
        content_type = {"content-type": f"multipart/form-data; boundary={edge}"}
        return self.http("POST", form["url"], data=body, headers=content_type)

    def client(self, service: str) -> Any:
        """A boto3 client of the emulator."""
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.aws_endpoint_url,
            region_name=self.region,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """`python -m local <command>` for this stack: start, stop, sync."""
        return subprocess.run(
            [sys.executable, "-m", "local", command],
            cwd=ROOT,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )

    def environment(self) -> dict[str, str]:
        """The environment that makes `local` and `spandrel` mean this stack."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "SPANDREL_"))}
        return kept | {"SPANDREL_LOCAL_DIR": str(self.home), "SPANDREL_LOCAL_PORT": str(self.port)}

    def start(self) -> None:
        done = self.run("start")
        if done.returncode:
            pytest.fail(f"the local stack does not start:\n{done.stdout}\n{done.stderr}", pytrace=False)
        self.read()

    def stop(self) -> None:
        done = self.run("stop")
        assert done.returncode == 0, done.stdout + done.stderr

    def read(self) -> None:
        self.values = json.loads((self.home / "stack.json").read_text())

    def _ensure_user(self, cognito: Any, username: str, password: str) -> None:
        pool = cognito.list_user_pools(MaxResults=1)["UserPools"][0]["Id"]
        try:
            cognito.admin_create_user(UserPoolId=pool, Username=username, MessageAction="SUPPRESS")
        except cognito.exceptions.UsernameExistsException:
            return
        cognito.admin_set_user_password(UserPoolId=pool, Username=username, Password=password, Permanent=True)


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[LocalStack]:
    """The deployed stack. It fails, and never skips, if it cannot be started."""
    if given := os.environ.get("SPANDREL_TEST_STACK"):
        home = (ROOT / given).resolve()
        running = LocalStack(home, port=0)
        running.read()
        running.port = int(running.aws_endpoint_url.rsplit(":", 1)[1])
        yield running
        return
    home = Path(tempfile.mkdtemp(prefix="spandrel-stack-"))
    own = LocalStack(home, _free_pair_of_ports())
    try:
        own.start()
        yield own
    finally:
        own.stop()
    # Kept when something failed, for its logs.
    if not request.session.testsfailed:
        shutil.rmtree(home, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("local_stack")


def _free_pair_of_ports() -> int:
    """Below the range that the system hands out: one who connects to a port of that range may meet himself."""
    for _ in range(50):
        port = random.randrange(20_000, 32_000)
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise RuntimeError("no two free ports in a row were found")


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
