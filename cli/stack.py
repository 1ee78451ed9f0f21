"""The running stack, as its `stack.json` describes it, and how commands report a fault."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import typer
from rich.console import Console

from local import config
from local.failures import LocalError

errors = Console(stderr=True)


def fail(message: str) -> NoReturn:
    errors.print(f"[red]error:[/] {message}", highlight=False, soft_wrap=True)
    raise typer.Exit(1)


def described() -> dict[str, Any]:
    """What `stack.json` says; ends the command with advice if no stack runs."""
    try:
        path = config.load().stack_file
    except LocalError as error:
        fail(str(error))
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        fail(f"no stack runs ({path} is not there): start one with `make local` or `make local-start`")
