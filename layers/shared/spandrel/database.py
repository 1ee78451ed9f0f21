"""The one database service: connections, tenant scope, transactions, and how many flights they take.

A flight is a network round trip. A pipeline is one implicit transaction up to its sync (PostgreSQL, "Pipeline Mode"),
so scope and statement travel together; `run` does this for one statement, `transaction` for several, in a block whose
commit travels with the last. The scope is set with `set_config(…, is_local => true)`: it ends with the transaction and
pins no proxied connection.
"""

from __future__ import annotations

import itertools
import select
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, overload

import msgspec

from spandrel import binary_copy
from spandrel.driver import class_row, dict_row, errors as pg, psycopg, set_json_loads
from spandrel.errors import DatabaseUnavailableError, SchemaVersionError
from spandrel.notices import HeardNews
from spandrel.vectors import register_vector_dumpers

if TYPE_CHECKING:
    from spandrel.events.ports import News
    from spandrel.settings import DatabaseSettings

SCHEMA_VERSION = 10
"""The number of the newest migration that this code was written with; a test holds the two together."""

_SCHEMA_MISMATCH = "SP001"  # raised by require_schema()
_CONNECT_TIMEOUT_SECONDS = 5
_ROLLBACKS = itertools.count()
T = TypeVar("T")
Parameters = Mapping[str, Any] | Sequence[Any] | None


class Database:
    """One role's connection, one thread's at a time: made at first use, kept while it holds, replaced when dropped."""

    def __init__(
        self,
        settings: DatabaseSettings,
        role: str,
        token: Callable[[str], str] | None = None,
        news: Callable[[], News] | None = None,
    ) -> None:
        """`role`: the database user. `token`: makes an IAM password for it; None where the address needs none.
        `news`: who is told, after a commit, which users it has news for.
        """
        self._settings, self._role, self._token = settings, role, token
        self._heard = HeardNews(news) if news is not None else None
        self._connection: psycopg.Connection[Any] | None = None
        self._cursor: psycopg.Cursor[Any] | None = None
        self._schema_known = False

    @overload
    def run(
        self, query: bytes, parameters: Parameters = None, *, user_id: str | None = None
    ) -> list[dict[str, Any]]: ...
    @overload
    def run(
        self, query: bytes, parameters: Parameters = None, *, user_id: str | None = None, into: type[T]
    ) -> list[T]: ...
    def run(
        self, query: bytes, parameters: Parameters = None, *, user_id: str | None = None, into: type[Any] | None = None
    ) -> list[Any]:
        """One statement in a transaction of its own, in one flight; its rows as dicts or as `into(**columns)`.

        Without a `user_id`, for the system role and for functions that set the scope themselves, it goes alone: a
        pipeline would send it, and its end, in messages of their own, and cost more than many a statement.
        """
        if user_id is None and self._schema_known:
            with self._at_work() as connection:
                cursor = self._cursor = self._cursor or connection.cursor()  # making one takes longer than many a query
                if into or cursor.row_factory is not dict_row:  # setting it reads the last answer's columns again
                    cursor.row_factory = class_row(into) if into else dict_row
                return cursor.execute(query, parameters).fetchall()
        with self.transaction(user_id, block=False) as tx:
            result = tx.execute(query, parameters, into=into)
        return result.fetchall()

    @contextmanager
    def transaction(self, user_id: str | None = None, *, block: bool = True) -> Iterator[Transaction]:
        """A pipelined transaction in the scope of `user_id` (None: no scope, for the system role).

        Statements are sent when a result is first read, or at the end together with the commit: a block that reads its
        results after it closes takes one flight. Without a `block` the pipeline's own transaction does: for statements
        whose results are read afterwards only, two fewer.
        """
        with self._at_work() as connection:
            tx = Transaction(connection, block)
            try:
                tx.begin(user_id, check_schema=not self._schema_known)
                yield tx
                tx.commit()
                self._schema_known = True
            except BaseException:
                tx.rollback()
                raise

    @contextmanager
    def _at_work(self) -> Iterator[psycopg.Connection[Any]]:
        """The connection, for one transaction: its faults are told in our words, its news afterwards."""
        connection = self._checkout()
        if self._heard is not None:
            self._heard.forget()
        try:
            yield connection
        except psycopg.Error as error:
            self._translate(error)
        finally:
            if connection.closed or connection.broken:
                self.close()
        if self._heard is not None:
            self._heard.tell()

    def close(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection, self._cursor, self._schema_known = None, None, False

    def _checkout(self) -> psycopg.Connection[Any]:
        if self._connection is not None and _dropped(self._connection):
            self.close()
        if self._connection is None:
            try:
                self._connection = self._connect()
            except psycopg.OperationalError as error:
                raise DatabaseUnavailableError from error
        return self._connection

    def _connect(self) -> psycopg.Connection[Any]:
        settings, options = self._settings, dict[str, Any](user=self._role, connect_timeout=_CONNECT_TIMEOUT_SECONDS)
        if settings.host is not None:
            options |= {"host": settings.host, "port": settings.port, "dbname": settings.name}
            options |= {"sslmode": "verify-full", "sslrootcert": settings.ssl_root_cert}
        if self._token is not None:
            options["password"] = self._token(self._role)
        connection: psycopg.Connection[Any] = psycopg.connect(
            settings.url or "",
            autocommit=True,
            # A statement prepared on a session pins it to one client behind RDS Proxy.
            prepare_threshold=None if settings.proxy else 5,
            application_name=self._role,
            **options,
        )
        register_vector_dumpers(connection)
        if self._heard is not None:
            connection.add_notice_handler(self._heard.listen)
        set_json_loads(msgspec.json.decode, connection)  # a search decodes attributes a hit
        return connection

    def _translate(self, error: psycopg.Error) -> NoReturn:
        if error.sqlstate == _SCHEMA_MISMATCH:
            self.close()  # so that the next request checks again
            raise SchemaVersionError from error
        if not self._schema_known and isinstance(error, pg.UndefinedFunction | pg.UndefinedTable):
            self.close()
            raise SchemaVersionError from error
        unavailable = pg.AdminShutdown | pg.CrashShutdown | pg.CannotConnectNow | pg.TooManyConnections
        if isinstance(error, unavailable) or (self._connection is not None and self._connection.closed):
            raise DatabaseUnavailableError from error
        raise error


class Transaction:
    """What a store takes: statements are queued and share flights; `copy` is a flight of its own kind."""

    def __init__(self, connection: psycopg.Connection[Any], block: bool) -> None:
        self._connection, self._block = connection, block
        self._pipeline: Any = None

    def begin(self, user_id: str | None, *, check_schema: bool) -> None:
        self._enter_pipeline()
        if self._block:
            self._connection.execute("BEGIN")
        if check_schema:
            self._connection.execute("SELECT require_schema(%s)", [SCHEMA_VERSION])
        if user_id is not None:
            self._connection.execute("SELECT set_config('spandrel.user_id', %s, true)", [user_id])

    def execute(
        self, query: bytes, parameters: Parameters = None, *, into: type[Any] | None = None
    ) -> psycopg.Cursor[Any]:
        if self._pipeline is None:
            self._enter_pipeline()
        rows = class_row(into) if into else dict_row
        return self._connection.cursor(row_factory=rows).execute(query, parameters)

    def copy(self, statement: bytes, rows: Iterable[Sequence[bytes | None]]) -> None:
        """Binary COPY of `rows`, whose fields are in their types' binary form (see `binary_copy`)."""
        self.copy_all({statement: rows})

    def copy_all(self, tables: Mapping[bytes, Iterable[Sequence[bytes | None]]]) -> None:
        """Several COPYs in turn. While the server takes no more of one, what follows is put together."""
        # COPY is not allowed in a pipeline; the explicit BEGIN keeps the transaction open. The next statement enters it
        # again: a pipeline with nothing in it would cost a flight.
        self._exit_pipeline()
        streams = [binary_copy.Stream(rows) for rows in tables.values()]
        for number, statement in enumerate(tables):
            with self._connection.cursor().copy(statement) as copy:
                for block in streams[number]:
                    while not _writable(self._connection) and binary_copy.prepare(streams[number:]):
                        pass
                    copy.write(block)

    def commit(self) -> None:
        if self._block:
            self._connection.execute("COMMIT")
        self._exit_pipeline()

    def rollback(self) -> None:
        with suppress(psycopg.Error):
            self._exit_pipeline()
        with suppress(psycopg.Error):
            if not self._connection.closed:
                self._connection.execute(_rollback())

    def _enter_pipeline(self) -> None:
        self._pipeline = self._connection.pipeline()
        self._pipeline.__enter__()

    def _exit_pipeline(self) -> None:
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            pipeline.__exit__(None, None, None)


def _rollback() -> bytes:
    """psycopg forgets what it prepared when it sees a ROLLBACK, and must: the server skipped what followed the fault,
    preparations among it. It looks only at statements that are new to it, hence the number.
    """
    return b"ROLLBACK -- %d" % next(_ROLLBACKS)


def _writable(connection: psycopg.Connection[Any]) -> bool:
    """Whether more can be sent at once."""
    _, writable, _ = select.select([], [connection.fileno()], [], 0)
    return bool(writable)


def _dropped(connection: psycopg.Connection[Any]) -> bool:
    """Whether the server hung up meanwhile: an idle connection has nothing to read, unless its end. Costs no flight."""
    if connection.closed or connection.broken:
        return True
    readable, _, _ = select.select([connection.fileno()], [], [], 0)
    return bool(readable)
