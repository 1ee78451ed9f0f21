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

ROLES = ["spandrel_app", "spandrel_system"]


@contextmanager
def among_owners(connection: psycopg.Connection) -> Iterator[None]:
    """Within the open transaction of `connection`. A superuser needs no membership, and no password is asked of him."""
    found = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    if found is not None and found[0]:
        yield
        return
    for role in _existing(connection):
        connection.execute(b"GRANT %s TO CURRENT_USER" % role)
    yield
    for role in _existing(connection):  # a migration may have made them
        connection.execute(b"REVOKE %s FROM CURRENT_USER" % role)


def _existing(connection: psycopg.Connection) -> list[bytes]:
    rows = connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s) ORDER BY 1", [ROLES]).fetchall()
    return [str(name).encode() for (name,) in rows]
