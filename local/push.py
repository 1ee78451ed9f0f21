"""Gives the deployed functions other code, past CloudFormation: what makes a change live in a second."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

from local import emulator
from local.config import STACK_NAME
from local.failures import LocalError

if TYPE_CHECKING:
    from pathlib import Path

    from local.config import Config


def push(config: Config, names: list[str], database_url: str) -> None:
    """Migrates, then gives every function its staged code, which ends its warm workers: the layer is a link."""
    _migrate(config, database_url)
    functions, staged = emulator.client(config, "lambda"), config.deploy_dir / ".build" / "functions"
    for name in names:
        function = f"{STACK_NAME}-{name.replace('_', '-')}"
        try:
            functions.update_function_code(FunctionName=function, ZipFile=_zipped(staged / name))
        except functions.exceptions.ResourceNotFoundException:
            raise LocalError(f"{function} is not deployed yet: run `make local-stop local-start`") from None


def _migrate(config: Config, database_url: str) -> None:
    import psycopg

    from spandrel.migrations import MigrationError, migrate

    try:
        migrate(database_url, config.code_dir / "migrations")
    except (MigrationError, psycopg.Error) as error:
        told = str(error).splitlines()[0]
        raise LocalError(f"migration: {told}; to begin with an empty stack instead, remove {config.home}") from error


def _zipped(folder: Path) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return packed.getvalue()
