"""psycopg, imported without what no function needs of it: import it from here first.

psycopg imports asyncio for its asynchronous half; importlib.metadata, with email and zipfile, to look its own version
up; ctypes.util to look for a libpq, which its binary wheel brings along; and zoneinfo for a server whose time zone is
not UTC: times are given in UTC then as well. That was a fifth of a cold start.
"""

from __future__ import annotations

from spandrel.left_out import without

__all__ = ["class_row", "dict_row", "errors", "psycopg", "set_json_loads"]
LEFT_OUT = ("asyncio", "ctypes", "ctypes.util", "importlib.metadata", "ssl", "zoneinfo")

with without(*LEFT_OUT):
    import psycopg
    from psycopg import errors
    from psycopg.rows import class_row, dict_row
    from psycopg.types.json import set_json_loads
