"""A database by host, as in AWS: over TLS, with its certificate and its name verified (libpq's verify-full)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from spandrel.database import Database
from spandrel.errors import DatabaseUnavailableError
from spandrel.settings import DatabaseSettings
from tests.support.certificates import Issued, issue
from tests.support.postgres import Cluster
from tests.support.tls_postgres import tls_before

WHO = b"SELECT current_user AS name"


def settings(name: str, port: int, root: Path, host: str = "localhost") -> DatabaseSettings:
    return DatabaseSettings(None, host, port, name, "us-east-1", proxy=False, ssl_root_cert=str(root))


@pytest.fixture(scope="module")
def authority() -> Issued:
    return issue("Test Root", authority=True)


@pytest.fixture
def root(authority: Issued, tmp_path: Path) -> Path:
    path = tmp_path / "root.pem"
    path.write_text(authority.pem)
    return path


def asked(settings: DatabaseSettings) -> str:
    database = Database(settings, "spandrel_app")
    try:
        [row] = database.run(WHO)
        return str(row["name"])
    finally:
        database.close()


def test_a_certificate_of_the_root_and_the_name_is_taken(
    cluster: Cluster, database_name: str, authority: Issued, root: Path, tmp_path: Path
) -> None:
    server = issue("localhost", ("localhost",), by=authority)
    with tls_before(cluster.socket_directory, server.context(tmp_path)) as port:
        assert asked(settings(database_name, port, root)) == "spandrel_app"


def test_another_name_is_refused(
    cluster: Cluster, database_name: str, authority: Issued, root: Path, tmp_path: Path
) -> None:
    server = issue("db.example.com", ("db.example.com",), by=authority)
    with tls_before(cluster.socket_directory, server.context(tmp_path)) as port:
        with pytest.raises(DatabaseUnavailableError) as refused:
            asked(settings(database_name, port, root))
        assert "does not match host name" in str(refused.value.__cause__)


def test_another_root_is_refused(cluster: Cluster, database_name: str, root: Path, tmp_path: Path) -> None:
    server = issue("localhost", ("localhost",), by=issue("Another Root", authority=True))
    with tls_before(cluster.socket_directory, server.context(tmp_path)) as port:
        with pytest.raises(DatabaseUnavailableError) as refused:
            asked(settings(database_name, port, root))
        assert "certificate verify failed" in str(refused.value.__cause__)


def test_a_lean_process_speaks_tls_without_pythons_own(
    cluster: Cluster, database_name: str, authority: Issued, root: Path, tmp_path: Path
) -> None:
    """libpq brings its own; Python's ssl is left out of a lean handler's imports."""
    program = """
import json, sys
from spandrel.database import Database
from spandrel.settings import DatabaseSettings
database = Database(DatabaseSettings(**json.loads(sys.argv[1])), "spandrel_app")
[row] = database.run(b"SELECT current_user AS name")
database.close()
print(row["name"], "ssl" in sys.modules)
"""
    server = issue("localhost", ("localhost",), by=authority)
    with tls_before(cluster.socket_directory, server.context(tmp_path)) as port:
        where = {"url": None, "host": "localhost", "port": port, "name": database_name, "region": "us-east-1"}
        where |= {"proxy": False, "ssl_root_cert": str(root)}
        process = subprocess.run(
            [sys.executable, "-c", program, json.dumps(where)],
            env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert process.stdout == "spandrel_app False\n", process.stderr
