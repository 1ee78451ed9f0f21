"""Loads `queries.sql`: named, commented statements that live beside the store that runs them."""

from __future__ import annotations

import re
from pathlib import Path

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


class Queries:
    """The statements of one file, as attributes: `-- name: find_document` becomes `queries.find_document`."""

    def __init__(self, path: Path) -> None:
        parts = _NAME.split(path.read_text(encoding="utf-8"))
        self._path = path
        self._statements: dict[str, bytes] = {}
        for name, body in zip(parts[1::2], parts[2::2], strict=True):
            if name in self._statements:
                raise ValueError(f"{path}: {name} is defined twice")
            self._statements[name] = body.strip().rstrip(";").encode()

    def __getattr__(self, name: str) -> bytes:
        try:
            return self._statements[name]
        except KeyError:
            raise AttributeError(f"{self._path} has no statement named {name}") from None

    @classmethod
    def beside(cls, module_file: str) -> Queries:
        """The `queries.sql` in the folder of the module whose `__file__` is given."""
        return cls(Path(module_file).with_name("queries.sql"))
