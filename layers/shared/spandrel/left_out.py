"""Imports without what no function needs of them: a good part of a cold start was modules that nobody used.

Stand-ins take the places of these modules while an import lasts, and are gone then: whoever imports the real ones gets
them. See docs/decisions/0019-what-a-cold-start-leaves-out.md.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from types import ModuleType
from typing import Any

# What is called of them, while the import lasts or later. Times are in UTC, whatever zone a server is set to.
_ANSWERS: dict[str, dict[str, Callable[..., Any]]] = {
    "importlib.metadata": {"version": lambda _: "unknown"},
    "platform": {"system": lambda: os.uname().sysname},
    "zoneinfo": {"ZoneInfo": lambda _: UTC},
}


class LeftOutError(RuntimeError):
    """This was left out of a function's imports. Where it is needed, import its module before spandrel."""


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
    vars(module).update(_ANSWERS.get(name, {}))
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
