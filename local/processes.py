"""The child processes of a stack: started in groups of their own, recorded on disk, stopped in order.

The record holds each process's start time beside its id, so a later run can end what a killed one left behind and can
never mistake somebody else's process for ours.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import psutil

from local.failures import LocalError


def start(name: str, command: list[str], env: dict[str, str], log: Path, cwd: Path) -> subprocess.Popen[bytes]:
    """Starts `command` in its own session, so that a Ctrl-C in the terminal reaches only us and we stop it in order."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        try:
            return subprocess.Popen(
                command,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        except OSError as error:
            raise LocalError(f"{name} cannot be started: {error}", log) from error


def stop(process: subprocess.Popen[bytes], *, gracefully: bool = True, patience: float = 15) -> None:
    """Asks the process to end (unless told otherwise), waits, then ends what is left of its group."""
    members = _descendants(process.pid)
    if gracefully and process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
    _kill(members)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(5)


def record(path: Path, pids: dict[str, int]) -> None:
    """Writes which processes are ours, with the times they started at."""
    rows = {name: {"pid": pid, "started": psutil.Process(pid).create_time()} for name, pid in pids.items()}
    path.write_text(json.dumps(rows))


def recorded(path: Path) -> dict[str, psutil.Process]:
    """The recorded processes that still run."""
    alive: dict[str, psutil.Process] = {}
    with suppress(OSError, ValueError):
        for name, row in json.loads(path.read_text()).items():
            with suppress(psutil.Error):
                process = psutil.Process(row["pid"])
                if abs(process.create_time() - row["started"]) < 0.05 and process.status() != psutil.STATUS_ZOMBIE:
                    alive[name] = process
    return alive


def end_leftovers(path: Path) -> list[str]:
    """Ends the processes that a killed run left behind; returns their names."""
    left = recorded(path)
    for process in left.values():
        members = _descendants(process.pid)
        with suppress(psutil.Error):
            process.terminate()
            process.wait(10)
        _kill([*members, process])
    path.unlink(missing_ok=True)
    return sorted(left)


def require_free_port(port: int, purpose: str) -> None:
    """Raises if something listens on `port`, naming it where the system lets us see it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise LocalError(
                f"port {port} ({purpose}) is in use{_holder(port)}: stop it, or set SPANDREL_LOCAL_PORT to another port"
            ) from None


def wait_for_http(url: str, process: subprocess.Popen[bytes], name: str, log: Path, patience: float = 120) -> None:
    """Waits until `url` answers 200; raises if the process ends first or takes too long."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise LocalError(f"{name} stopped while starting ({_last_line(log)})", log)
        with suppress(OSError, HTTPException), urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own address
            if answer.status == 200:
                return
        time.sleep(0.05)
    raise LocalError(f"{name} did not answer within {patience:.0f} s", log)


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return []


def _kill(members: list[psutil.Process]) -> None:
    for member in members:
        with suppress(psutil.Error):
            member.kill()
    psutil.wait_procs(members, timeout=5)


def _holder(port: int) -> str:
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})" if connection.pid else ""
    return ""


def _last_line(log: Path) -> str:
    with suppress(OSError):
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1][:200] if lines else "no output"
    return "no output"
