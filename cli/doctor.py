"""`spandrel doctor`: looks at what the one-machine run needs and says what to do about what is missing."""

from __future__ import annotations

import json
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

import typer
from rich.console import Console

from local import config as configuration, processes, tools
from local.config import Config
from local.failures import LocalError

console = Console()


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: whether it is well, what was seen, and what to do if it is not."""

    name: str
    well: bool
    seen: str
    advice: str = ""


def doctor() -> None:
    """Check tools, ports, database and stack; say what to do."""
    try:
        config = configuration.load()
    except LocalError as error:
        console.print(f"[red]environment[/] {error}", highlight=False)
        raise typer.Exit(1) from None
    findings = examine(config)
    for finding in findings:
        mark = "[green]well  [/]" if finding.well else "[red]amiss [/]"
        console.print(f"  {mark} {finding.name:<11} {finding.seen}", highlight=False, soft_wrap=True)
        if not finding.well:
            console.print(f"         {'':<11} {finding.advice}", highlight=False, soft_wrap=True)
    if not all(finding.well for finding in findings):
        raise typer.Exit(1)


def examine(config: Config) -> list[Finding]:
    """Every check that applies: a running stack is asked, a stopped one has its ports looked at."""
    checks: list[Callable[[Config], Finding]] = [_python, _uv, _disk]
    checks += [_database, _http] if config.stack_file.is_file() else [_ports, _stack]
    return [check(config) for check in checks]


def _python(_: Config) -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", sys.version_info >= (3, 11), version, "install Python 3.11 or newer and run `make setup`")


def _uv(_: Config) -> Finding:
    try:
        return Finding("uv", True, tools.uv())
    except LocalError as error:
        return Finding("uv", False, "missing", str(error))


def _disk(config: Config) -> Finding:
    home = next(folder for folder in (config.home, *config.home.parents) if folder.is_dir())
    free = shutil.disk_usage(home).free / 1e9
    return Finding("disk", free > 1.5, f"{free:.1f} GB free at {home}", "make room for at least 1.5 GB")


def _ports(config: Config) -> Finding:
    wanted = [config.port, *([config.model_port] if config.provider.local else [])]
    try:
        for port in wanted:
            processes.require_free_port(port, "for the local stack")
    except LocalError as error:
        return Finding("ports", False, "in use", str(error))
    return Finding("ports", True, f"{', '.join(map(str, wanted))} free")


def _stack(config: Config) -> Finding:
    return Finding("stack", True, f"not running; `make local-start` starts it ({config.home})")


def _database(config: Config) -> Finding:
    import psycopg

    from spandrel import migrations

    try:
        pending = migrations.plan(_described(config)["database_url"])
    except (psycopg.Error, migrations.MigrationError, KeyError, ValueError) as error:
        advice = f"run `make local-stop local-start`; its log is {config.home / 'postgres' / 'log'}"
        return Finding("database", False, str(error).splitlines()[0], advice)
    seen = f"{len(pending)} migrations pending" if pending else "up to date"
    return Finding("database", not pending, seen, "run `make local-sync` or `.venv/bin/spandrel migrate`")


def _http(config: Config) -> Finding:
    url = f"{_described(config).get('http_url')}/v1/health"
    advice = f"run `make local-stop local-start`; its log is {config.logs / 'emulator.log'}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own address
            return Finding("stack", answer.status == 200, f"{url} answers {answer.status}", advice)
    except urllib.error.HTTPError as error:
        return Finding(
            "stack", False, f"{url} answers {error.code}: {error.read(300).decode(errors='replace')}", advice
        )
    except OSError as error:
        return Finding("stack", False, f"{url} does not answer: {error}", advice)


def _described(config: Config) -> dict[str, str]:
    return dict(json.loads(config.stack_file.read_text()))
