"""The administrator among the roles that own tables, for one transaction at a time.

RDS takes no password from a member of `rds_iam`, at however many removes (Amazon RDS guide, "Database authentication").
Our roles are such members: were the administrator one of theirs for good, the next deployment could not sign in as
him, and nobody else could either. Whoever alters or indexes what they own is a member until his transaction ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg

JOIN = {
    "spandrel_app": b"GRANT spandrel_app TO CURRENT_USER",
    "spandrel_system": b"GRANT spandrel_system TO CURRENT_USER",
}
LEAVE = {
    "spandrel_app": b"REVOKE spandrel_app FROM CURRENT_USER",
    "spandrel_system": b"REVOKE spandrel_system FROM CURRENT_USER",
}


@contextmanager
def among_owners(connection: psycopg.Connection) -> Iterator[None]:
    """Within the open transaction of `connection`. A superuser needs no membership, and no password is asked of him."""
    found = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    if found is not None and found[0]:
        yield
        return
    for role in _existing(connection):
        connection.execute(JOIN[role])
    yield
    for role in _existing(connection):  # a migration may have made them
        connection.execute(LEAVE[role])


def _existing(connection: psycopg.Connection) -> list[str]:
    query = "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s) ORDER BY 1"
    return [name for (name,) in connection.execute(query, [list(JOIN)]).fetchall()]
