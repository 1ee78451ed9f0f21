"""How many rows the database has read: unlike a clock, the same on every machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from spandrel.database import Database
from tests.support.knowledge import KnowledgeBase


def rows_read(kb: KnowledgeBase, *databases: Database) -> Counter[str]:
    """By table, by all of `databases` and by the application of `kb` up to now."""
    for database in (kb.app, *databases):
        database.run(b"SELECT pg_stat_force_next_flush()")
    kb.rows("SELECT pg_stat_force_next_flush()")
    rows = kb.rows("SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0) AS read FROM pg_stat_user_tables")
    return Counter({row["relname"]: row["read"] for row in rows})


def cost_of(kb: KnowledgeBase, work: Callable[[], object], *databases: Database) -> Counter[str]:
    before = rows_read(kb, *databases)
    work()
    return rows_read(kb, *databases) - before


def without_table_scans(kb: KnowledgeBase, *databases: Database) -> None:
    """Plans as they are for tables of any size, of which it is known what is in them: of small ones all is read."""
    kb.rows(f"ALTER DATABASE {kb.one('SELECT current_database()')} SET enable_seqscan = off")
    kb.rows("ANALYZE")
    for database in (kb.app, *databases):
        database.close()
