"""Makes a change in `functions/`, `layers/` or `migrations/` live in the running stack without a deployment."""

from __future__ import annotations

import io
import json
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from local import build, emulator
from local.config import STACK_NAME
from local.failures import LocalError
from local.stack import supervisor

if TYPE_CHECKING:
    from rich.console import Console

    from local.config import Config


def run(config: Config, console: Console) -> int:
    """Stages anew, migrates, and gives every function its code again, which ends its warm workers."""
    started = time.monotonic()
    if supervisor(config) is None or not config.stack_file.is_file():
        raise LocalError("no stack runs here: start it with `make local` or `make local-start`")
    staged = config.deploy_dir / ".build" / "functions"
    names = build.stage_functions(config.root, staged)
    build.stage_code(config.root, config.code_dir)
    _migrate(config)
    functions = emulator.client(config, "lambda")
    for name in names:
        function = f"{STACK_NAME}-{name.replace('_', '-')}"
        try:
            functions.update_function_code(FunctionName=function, ZipFile=_zipped(staged / name))
        except functions.exceptions.ResourceNotFoundException:
            raise LocalError(f"{function} is not deployed yet: run `make local-stop local-start`") from None
    console.print(f"  live: {', '.join(names)} [dim]{time.monotonic() - started:.1f} s[/]", highlight=False)
    return 0


def _migrate(config: Config) -> None:
    from spandrel.migrations import MigrationError, migrate

    url = json.loads(config.stack_file.read_text())["database_url"]
    try:
        migrate(url)
    except MigrationError as error:
        raise LocalError(f"migration: {error}") from error


def _zipped(folder: Path) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return packed.getvalue()
