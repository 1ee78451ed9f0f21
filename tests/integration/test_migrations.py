"""The migration runner on real Postgres: many at once, killed, tampered with, without superuser rights."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from spandrel import migrations
from spandrel.database import SCHEMA_VERSION, Database
from spandrel.migrations import MigrationError
from spandrel.schema import ensure_embedding_space
from tests.support.knowledge import KnowledgeBase
from tests.support.postgres import Cluster, settings_for

RUN = "import sys; from spandrel import migrations; print(len(migrations.migrate(sys.argv[1])))"
NAMES = [migration.name for migration in migrations.load()]


@pytest.fixture
def empty_url(cluster: Cluster) -> Iterator[str]:
    with cluster.database() as name:
        yield cluster.url(name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the migrations that a test may change."""
    return Path(shutil.copytree(migrations.default_directory(), tmp_path / "migrations"))


def runner(url: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", RUN, url], stdout=subprocess.PIPE, text=True, env=environment)


def recorded(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT name FROM schema_migrations ORDER BY name")]


def test_eight_runners_at_once_apply_each_migration_once(empty_url: str) -> None:
    runners = [runner(empty_url) for _ in range(8)]
    applied = [process.communicate(timeout=60)[0].strip() for process in runners]
    assert [process.returncode for process in runners] == [0] * 8
    assert sorted(applied) == ["0"] * 7 + [str(len(NAMES))]
    assert recorded(empty_url) == NAMES


def test_a_killed_runner_leaves_nothing_to_clean(cluster: Cluster, empty_url: str) -> None:
    with psycopg.connect(empty_url, autocommit=True) as blocker:
        blocker.execute(migrations.LEDGER)
        with blocker.transaction():
            # The second migration's record has to wait for this, so the kill falls into its transaction.
            blocker.execute("LOCK TABLE schema_version IN SHARE MODE")
            process = runner(empty_url)
            with psycopg.connect(cluster.url("postgres"), autocommit=True) as watcher:
                waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
                deadline = time.monotonic() + 20
                while watcher.execute(waiting, [blocker.info.dbname]).fetchone() == (0,):
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            process.communicate()
    assert recorded(empty_url) == []
    assert [applied.name for applied in migrations.migrate(empty_url)] == NAMES
    assert recorded(empty_url) == NAMES


def test_a_second_run_applies_nothing(database_url: str) -> None:
    assert migrations.migrate(database_url) == []


def test_an_applied_migration_that_changed_is_refused(database_url: str, folder: Path) -> None:
    changed = folder / f"{NAMES[1]}.sql"
    changed.write_text(changed.read_text() + "-- afterthought\n")
    with pytest.raises(MigrationError, match=f"{NAMES[1]} was applied and has changed"):
        migrations.migrate(database_url, folder)


def test_a_recorded_migration_that_the_code_lacks_is_refused(database_url: str, folder: Path) -> None:
    (folder / f"{NAMES[-1]}.sql").unlink()
    with pytest.raises(MigrationError, match=f"does not: {NAMES[-1]}"):
        migrations.migrate(database_url, folder)


def test_a_failing_migration_leaves_those_before_it(database_url: str, folder: Path) -> None:
    number = len(NAMES) + 1
    (folder / f"{number:04d}_good.sql").write_text("-- compatible-from: 1\nCREATE TABLE good (id int);")
    (folder / f"{number + 1:04d}_bad.sql").write_text(
        "-- compatible-from: 1\nCREATE TABLE half (id int); SELECT 1 / 0;"
    )
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrations.migrate(database_url, folder)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT to_regclass('good'), to_regclass('half')").fetchone() == ("good", None)
        assert connection.execute("SELECT version FROM schema_version").fetchone() == (number,)


def test_the_plan_names_what_is_pending_and_changes_nothing(empty_url: str) -> None:
    assert [migration.name for migration in migrations.plan(empty_url)] == NAMES
    with psycopg.connect(empty_url) as connection:
        assert connection.execute("SELECT to_regclass('schema_migrations')").fetchone() == (None,)


def test_the_plan_of_a_migrated_database_is_empty(database_url: str) -> None:
    assert migrations.plan(database_url) == []


def test_the_code_expects_the_newest_migration(database_url: str) -> None:
    assert migrations.load()[-1].number == SCHEMA_VERSION
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT version FROM schema_version").fetchone() == (SCHEMA_VERSION,)


def test_a_runner_does_not_wait_for_ever_for_another(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [migrations.ADVISORY_LOCK])
        with pytest.raises(MigrationError, match="another runner"):
            migrations.migrate(database_url, lock_wait=0.2)


def test_a_migration_does_not_queue_behind_a_long_reader(
    database_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT", "200ms")
    (folder / f"{len(NAMES) + 1:04d}_alter.sql").write_text(
        "-- compatible-from: 1\nALTER TABLE documents ADD COLUMN extra int;"
    )
    with psycopg.connect(database_url) as reader:
        reader.execute("SELECT count(*) FROM documents")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            migrations.migrate(database_url, folder)
    assert [applied.number for applied in migrations.plan(database_url, folder)] == [len(NAMES) + 1]


def test_a_migration_that_runs_for_too_long_is_stopped(
    database_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "STATEMENT_TIMEOUT", "200ms")
    (folder / f"{len(NAMES) + 1:04d}_slow.sql").write_text("-- compatible-from: 1\nSELECT pg_sleep(30);")
    with pytest.raises(psycopg.errors.QueryCanceled):
        migrations.migrate(database_url, folder)


def test_first_use_in_two_databases_of_one_cluster_at_once(cluster: Cluster) -> None:
    """Roles belong to the cluster: two databases that are migrated together both want to make them."""
    with cluster.database() as one, cluster.database() as other, ThreadPoolExecutor() as pool:
        applied = list(pool.map(migrations.migrate, [cluster.url(one), cluster.url(other)]))
    assert [len(each) for each in applied] == [len(NAMES)] * 2


def test_an_administrator_without_superuser_rights_can_migrate_and_keeps_his_password() -> None:
    """As on RDS: CREATEROLE and a database of his own, where `vector` may be created by him or was before.

    RDS takes no password from whoever inherits from `rds_iam`, so the next migration must find no trace of this one.
    """
    cluster = Cluster()
    try:
        cluster.execute("CREATE ROLE administrator LOGIN CREATEROLE", "CREATE DATABASE spandrel OWNER administrator")
        cluster.execute(
            "CREATE ROLE rds_iam", "GRANT rds_iam TO administrator WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"
        )
        cluster.execute("CREATE EXTENSION vector", database="spandrel")
        url = cluster.url("spandrel", user="administrator")
        assert [applied.name for applied in migrations.migrate(url)] == NAMES
        ensure_embedding_space(url, "fake-64", 64)
        assert migrations.migrate(url) == []
        ensure_embedding_space(url, "fake-128", 128)
        kb = KnowledgeBase(cluster.url("spandrel"))
        [inherits] = kb.rows("""
            SELECT pg_has_role('administrator', 'rds_iam', 'USAGE') AS admin,
                   pg_has_role('spandrel_app', 'rds_iam', 'USAGE') AS app,
                   pg_has_role('administrator', 'spandrel_system', 'SET') AS set""")
        assert inherits == {"admin": False, "app": True, "set": False}
        kb.add(kb.collection(), "Whales sing.")
        assert len(kb.find("whales").hits) == 1
        kb.close()
    finally:
        cluster.stop()


# -- what the migrations leave


def test_every_user_table_is_bound_to_its_user(kb: KnowledgeBase) -> None:
    unbound = kb.rows("""
        SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'user_id'
        WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
          AND NOT (c.relrowsecurity AND EXISTS (
              SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polroles = ARRAY['spandrel_app'::regrole::oid]
                AND p.polcmd = '*' AND p.polqual IS NOT NULL AND p.polwithcheck IS NOT NULL))""")
    assert unbound == []


def test_the_app_role_writes_user_tables_only(kb: KnowledgeBase) -> None:
    writable = kb.rows("""
        SELECT c.relname FROM pg_class c
        WHERE c.relkind IN ('r', 'p', 'v', 'm') AND c.relnamespace = 'public'::regnamespace
          AND has_table_privilege('spandrel_app', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
          AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'user_id')""")
    assert writable == []


def test_the_app_role_reads_no_more_than_user_tables_and_the_schema(kb: KnowledgeBase) -> None:
    readable = kb.rows("""
        SELECT c.relname FROM pg_class c
        WHERE c.relkind IN ('r', 'p', 'v', 'm') AND c.relnamespace = 'public'::regnamespace
          AND has_table_privilege('spandrel_app', c.oid, 'SELECT')
          AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'user_id')
        ORDER BY 1""")
    assert [row["relname"] for row in readable] == [
        "component_checks",
        "embedding_spaces",
        "schema_migrations",
        "schema_version",
        "session_transitions",
        "template_details",
    ]


def test_views_see_with_the_eyes_of_whoever_asks(kb: KnowledgeBase) -> None:
    """A view of its owner's would show every user's rows."""
    views = kb.rows("""
        SELECT relname, 'security_invoker=true' = ANY (coalesce(reloptions, '{}')) AS safe FROM pg_class
        WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace""")
    assert views == [{"relname": "template_details", "safe": True}]


def test_the_app_role_owns_nothing_and_is_bound_by_policies(kb: KnowledgeBase) -> None:
    [role] = kb.rows("SELECT rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = 'spandrel_app'")
    assert role == {"rolsuper": False, "rolbypassrls": False, "rolcreaterole": False}
    assert kb.one("SELECT count(*) FROM pg_class WHERE relowner = 'spandrel_app'::regrole") == 0


@pytest.mark.parametrize("role", ["spandrel_app", "spandrel_system"])
def test_no_role_of_ours_can_make_tables(database_url: str, role: str) -> None:
    database = Database(settings_for(database_url), role)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        database.run(b"CREATE TABLE mine (id int)")
    database.close()


def test_a_row_cannot_be_given_to_another_user(kb: KnowledgeBase) -> None:
    collection = kb.collection()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        kb.app.run(b"UPDATE collections SET user_id = 'bob' WHERE id = %s", [collection.id], user_id="ada")


def test_without_a_scope_the_app_role_sees_nothing(kb: KnowledgeBase) -> None:
    kb.collection()
    assert kb.app.run(b"SELECT * FROM collections") == []
    assert len(kb.app.run(b"SELECT * FROM collections", user_id="ada")) == 1
