"""The migration runner: plain SQL files, applied once each, in order, by whoever gets the advisory lock first.

A file is recorded by name and hash in the transaction that applies it, so a runner killed at any point leaves nothing
behind: its session's lock goes with its connection. A recorded file that has changed since is refused.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spandrel.owners import among_owners

if TYPE_CHECKING:
    import psycopg

ADVISORY_LOCK = 0x5370616E64726C  # "Spandrl"
LOCK_WAIT_SECONDS = 120
# A migration must not queue behind a long reader and stop the world meanwhile, nor run for ever.
LOCK_TIMEOUT = "10s"
STATEMENT_TIMEOUT = "10min"
LEDGER = """
    CREATE TABLE IF NOT EXISTS schema_migrations (
        name text PRIMARY KEY, hash text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
    );
    CREATE TABLE IF NOT EXISTS schema_version (
        only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row), version integer NOT NULL, compatible_from integer
        NOT NULL
    )
"""
_FILE_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_COMPATIBLE_FROM = re.compile(r"\A-- compatible-from: (\d+)\n")


class MigrationError(Exception):
    """A migration cannot be applied; the message says which and what to do."""


class NewerSchemaError(MigrationError):
    """The database is ahead of this code."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. `compatible_from`: the oldest schema version whose code can serve on the schema that it leaves."""

    name: str
    number: int
    hash: str
    compatible_from: int
    sql: str


@dataclass(frozen=True, slots=True)
class Applied:
    name: str
    seconds: float


def default_directory() -> Path:
    """`migrations/` beside the package (as the layer ships it), else at the repository's root."""
    package = Path(__file__).resolve().parent
    for candidate in (package.parent / "migrations", package.parents[2] / "migrations"):
        if candidate.is_dir():
            return candidate
    raise MigrationError("no migrations folder lies beside the package: build the layer anew")


def load(directory: Path | None = None) -> list[Migration]:
    """Reads every migration, in order. Raises `MigrationError` on a bad name, a missing header or a gap in the
    numbers.
    """
    found: list[Migration] = []
    for path in sorted((directory or default_directory()).glob("*.sql")):
        named, sql = _FILE_NAME.fullmatch(path.name), path.read_text(encoding="utf-8")
        header = _COMPATIBLE_FROM.match(sql)
        if named is None or header is None:
            raise MigrationError(f'{path.name}: name it 0001_words.sql and begin it with "-- compatible-from: N"')
        if int(named[1]) != len(found) + 1:
            raise MigrationError(f"{path.name}: expected number {len(found) + 1:04d}")
        digest = hashlib.sha256(sql.encode()).hexdigest()
        found.append(Migration(path.stem, int(named[1]), digest, int(header[1]), sql))
    return found


def plan(conninfo: str, directory: Path | None = None) -> list[Migration]:
    """What `migrate` would apply now, in order; changes nothing."""
    import psycopg

    with psycopg.connect(conninfo, autocommit=True) as connection:
        exists = connection.execute("SELECT to_regclass('schema_migrations') IS NOT NULL").fetchone()
        recorded = _recorded(connection) if exists and exists[0] else {}
    return _pending(load(directory), recorded)


def migrate(conninfo: str, directory: Path | None = None, *, lock_wait: float = LOCK_WAIT_SECONDS) -> list[Applied]:
    """Applies what is pending, each file in a transaction of its own. Safe to run from many places at once."""
    import psycopg

    migrations, done = load(directory), []
    with psycopg.connect(conninfo, autocommit=True) as connection, _only_runner(connection, lock_wait):
        connection.execute(LEDGER)
        for migration in _pending(migrations, _recorded(connection)):
            started = time.monotonic()
            _apply(connection, migration)
            done.append(Applied(migration.name, time.monotonic() - started))
    return done


def serves(conninfo: str, directory: Path | None = None) -> bool:
    """Whether the code that these files came with can serve on a schema that is newer than they are."""
    import psycopg

    with psycopg.connect(conninfo, autocommit=True) as connection:
        return bool(_scalar(connection, "SELECT compatible_from <= %s FROM schema_version", load(directory)[-1].number))


@contextmanager
def _only_runner(connection: psycopg.Connection, wait: float) -> Iterator[None]:
    deadline = time.monotonic() + wait
    while not _scalar(connection, "SELECT pg_try_advisory_lock(%s)", ADVISORY_LOCK):
        if time.monotonic() > deadline:
            raise MigrationError(
                f"another runner has held the migration lock for {wait:.0f} s; look at what it waits for"
            )
        time.sleep(0.1)
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s)", [ADVISORY_LOCK])


def _apply(connection: psycopg.Connection, migration: Migration) -> None:
    with connection.transaction(), among_owners(connection):
        connection.execute(
            "SELECT set_config('lock_timeout', %s, true), set_config('statement_timeout', %s, true)",
            [LOCK_TIMEOUT, STATEMENT_TIMEOUT],
        )
        connection.execute(migration.sql.encode())
        connection.execute(
            "INSERT INTO schema_migrations (name, hash) VALUES (%s, %s)", [migration.name, migration.hash]
        )
        connection.execute(
            "INSERT INTO schema_version (version, compatible_from) VALUES (%s, %s) ON CONFLICT (only_row) "
            "DO UPDATE SET version = excluded.version, compatible_from = excluded.compatible_from",
            [migration.number, migration.compatible_from],
        )


def _recorded(connection: psycopg.Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT name, hash FROM schema_migrations").fetchall())


def _pending(migrations: list[Migration], recorded: dict[str, str]) -> list[Migration]:
    for migration in migrations:
        if recorded.get(migration.name, migration.hash) != migration.hash:
            raise MigrationError(
                f"{migration.name} was applied and has changed since: restore it and add a new migration"
            )
    if unknown := sorted(recorded.keys() - {migration.name for migration in migrations}):
        raise NewerSchemaError(
            f"the database has migrations that this code does not: {', '.join(unknown)}; deploy newer code"
        )
    return [migration for migration in migrations if migration.name not in recorded]


def _scalar(connection: psycopg.Connection, query: str, *params: object) -> object:
    row = connection.execute(query.encode(), params).fetchone()
    return row[0] if row else None
