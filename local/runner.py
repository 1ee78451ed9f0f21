"""Runs the stack in the foreground, or starts and stops it in the background."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

import psutil

from local import processes
from local.failures import LocalError
from local.progress import Journal, Listener, Progress, Terminal, follow
from local.stack import Stack, supervisor

if TYPE_CHECKING:
    from rich.console import Console

    from local.config import Config


def run(config: Config, console: Console, *, journal: bool = False) -> int:
    """Sets the stack up, keeps it running until it is told to end, takes it down. Returns the exit status."""
    config.home.mkdir(parents=True, exist_ok=True)
    listener: Listener = Journal(config.progress_file) if journal else Terminal(console)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    stack = Stack(config, Progress(listener))
    try:
        described = stack.up()
        listener({"kind": "ready", "stack": described})
        if not journal:
            show(console, described, config)
        return _keep(stack, config)
    except KeyboardInterrupt:
        console.print("\n  stopping; the state is kept", highlight=False)
        return 0
    except LocalError as error:
        listener({"kind": "error", "message": str(error)})
        console.print(f"[red]error:[/] {error}", highlight=False, soft_wrap=True)
        return 1
    except Exception as error:
        log = config.logs / "supervisor.log" if journal else None
        listener({"kind": "error", "message": str(LocalError(f"unexpected {type(error).__name__}: {error}", log))})
        raise
    finally:
        stack.down()


def start(config: Config, console: Console) -> int:
    """Starts the stack in a process of its own and returns once it serves."""
    config.home.mkdir(parents=True, exist_ok=True)
    if (running := supervisor(config)) is not None:
        raise LocalError(f"this stack runs already (pid {running.pid}): use it, or end it with `make local-stop`")
    config.progress_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "local", "run", "--journal"]
    env = os.environ | {"SPANDREL_LOCAL_DIR": str(config.home), "SPANDREL_LOCAL_PORT": str(config.port)}
    log = config.logs / "supervisor.log"
    process = processes.start("the stack", command, env, log, config.root)
    try:
        return _wait_until_ready(config, console, process)
    except KeyboardInterrupt:
        console.print("  stopping")
        process.terminate()
        process.wait(60)
        raise


def stop(config: Config, console: Console) -> int:
    """Ends what `start` or `run` started here, and what a killed one left behind; touches nothing else."""
    running = supervisor(config)
    if running is None:
        left = processes.end_leftovers(config.processes_file)
        console.print(f"  ended what was left: {', '.join(left)}" if left else "  nothing runs here", highlight=False)
        return 0
    started = time.monotonic()
    with suppress(psutil.NoSuchProcess):
        running.terminate()
    try:
        running.wait(60)
    except psutil.TimeoutExpired:
        running.kill()
    processes.end_leftovers(config.processes_file)
    config.stack_file.unlink(missing_ok=True)
    console.print(
        f"  stopped [dim]{time.monotonic() - started:.1f} s[/]; its state is kept in {config.home}", highlight=False
    )
    return 0


def show(console: Console, described: dict[str, Any], config: Config) -> None:
    """The URLs, the login, and what to do with them."""
    rows = [("HTTP API", described["http_url"]), ("WebSocket API", described["websocket_url"])]
    rows += [("AWS endpoint", described["aws_endpoint_url"])]
    rows += [("Postgres", described["database_url"]), ("Embeddings", config.provider.model)]
    rows += [("Login", f"{described['username']}  {described['password']}"), ("Details", str(config.stack_file))]
    rows += [("Token", ".venv/bin/spandrel token"), ("Logs", str(config.logs))]
    console.print()
    for name, value in rows:
        console.print(f"  [bold]{name:<13}[/] {value}", highlight=False, soft_wrap=True, markup=True)


def _wait_until_ready(config: Config, console: Console, process: subprocess.Popen[bytes]) -> int:
    terminal = Terminal(console)
    for event in follow(config.progress_file, lambda: process.poll() is None):
        if event["kind"] == "ready":
            show(console, event["stack"], config)
            return 0
        if event["kind"] == "error":
            process.wait(40)
            raise LocalError(event["message"])
        terminal(event)
    raise LocalError("the stack's process ended while starting", config.logs / "supervisor.log")


def _keep(stack: Stack, config: Config) -> int:
    while True:
        time.sleep(0.5)
        if (part := stack.broken()) is not None:
            raise LocalError(f"{part} stopped by itself: start again", config.logs)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
