"""psycopg, imported without what no function needs of it: import it from here first.

psycopg imports asyncio for its asynchronous half; importlib.metadata, with email and zipfile, to look its own version
up; and ctypes.util to look for a libpq, which its binary wheel brings along. That was a fifth of a cold start. Stand-
ins take their places while psycopg is imported, and are gone then: whoever imports the real ones gets them. See
docs/decisions/0019-a-lean-driver.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

__all__ = ["class_row", "dict_row", "errors", "psycopg", "set_json_loads"]
LEFT_OUT = ("asyncio", "ctypes", "ctypes.util", "importlib.metadata", "ssl")


class LeftOutError(RuntimeError):
    """psycopg was imported without its asynchronous half. Import asyncio before spandrel.driver."""


class _Name(type):
    """A class of a stand-in: good for annotations, base classes and `except`, not for use."""

    def __getitem__(cls, _: object) -> _Name:
        return cls

    def __call__(cls, *_: object, **__: object) -> Any:
        raise LeftOutError(LeftOutError.__doc__)


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Name(name, (), {})


def _stand_in(name: str) -> ModuleType:
    module = _StandIn(name)
    if name == "importlib.metadata":
        module.version = lambda _: "unknown"  # type: ignore[attr-defined]
    return module


@contextmanager
def without(*names: str) -> Iterator[None]:
    """While it lasts, an import of these modules gets a stand-in; the real one where that is in memory already."""
    stood_in = {name: _stand_in(name) for name in names if name not in sys.modules}
    sys.modules.update(stood_in)
    try:
        yield
    finally:
        for name, module in stood_in.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


with without(*LEFT_OUT):
    import psycopg
    from psycopg import errors
    from psycopg.rows import class_row, dict_row
    from psycopg.types.json import set_json_loads
