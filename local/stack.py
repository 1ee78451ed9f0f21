"""The whole stack on one machine: set up, described in `stack.json`, kept running, taken down in order."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, Any

from local import deploy, emulator, gaps, processes, routes, tools, users
from local.config import REGION
from local.failures import LocalError
from local.postgres import Postgres

if TYPE_CHECKING:
    import psutil

    from local.config import Config
    from local.progress import Progress

SUPERVISOR = "supervisor"
_NEEDED_BYTES = 1_500_000_000


class Stack:
    """One running stack. `up` sets it up or raises `LocalError`; `down` ends every process that `up` started."""

    def __init__(self, config: Config, progress: Progress) -> None:
        self._config, self._progress = config, progress
        self._emulator: subprocess.Popen[bytes] | None = None
        self._models: subprocess.Popen[bytes] | None = None
        self._postgres: Postgres | None = None
        self._lock, self._stopping = threading.Lock(), False
        self._whole = False
        self._ours = False  # the home's, once nobody else was found to use it

    def up(self) -> dict[str, Any]:
        config, step = self._config, self._progress.step
        _prepare(config)
        self._ours = True
        self._record()
        staged = self._start_all()
        assert self._postgres is not None
        with step("Deploy template.yaml with SAM CLI"):
            outputs = deploy.run(config, staged, self._postgres.url)
        with step("HTTP routes and demo user"):
            gaps.numbers_of_event_sources(config)
            routes.import_routes(config, outputs["HttpApiId"], outputs)
            described = self._describe(outputs)
        assert self._emulator is not None
        emulator.checkpoint(self._emulator)
        self._whole = True
        return described

    def down(self) -> None:
        """Functions first, so that nothing uses what ends after it; the emulator writes its state as it ends."""
        # A clean end: an interrupt would leave half of it running.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if not self._ours:
            return
        self._stopping = True
        if self._emulator is not None:
            # An interrupted deployment is not to be remembered: the next start begins at the state before it.
            processes.stop(self._emulator, gracefully=self._whole)
        if self._models is not None:
            processes.stop(self._models)
        if self._postgres is not None:
            self._postgres.stop()
        self._config.stack_file.unlink(missing_ok=True)
        self._config.processes_file.unlink(missing_ok=True)

    def broken(self) -> str | None:
        """The name of a part that has stopped by itself, if one has."""
        parts = {"the AWS emulator": self._emulator, "the model server": self._models}
        return next((name for name, part in parts.items() if part is not None and part.poll() is not None), None)

    def _start_all(self) -> deploy.Staged:
        """Starts the servers side by side; staging takes the processor while they wait."""
        with ThreadPoolExecutor(4) as pool:
            try:
                staging = pool.submit(self._stage)
                tasks: list[Future[Any]] = [
                    staging,
                    pool.submit(self._start_postgres),
                    pool.submit(self._start_emulator),
                ]
                if self._config.provider.local:
                    tasks.append(pool.submit(self._start_models))
                for task in as_completed(tasks):
                    task.result()
                return staging.result()
            except BaseException:
                # Ends what the other threads wait for.
                self._stopping = True
                for process in (self._emulator, self._models):
                    if process is not None:
                        process.terminate()
                raise

    def _start_postgres(self) -> None:
        with self._progress.step("Postgres 18 with pgvector"):
            self._postgres = Postgres(self._config)
        self._record()

    def _start_emulator(self) -> None:
        with self._progress.step("AWS emulator"):
            self._emulator = emulator.start(self._config)
            self._record()
            emulator.wait(self._config, self._emulator)

    def _start_models(self) -> None:
        config, log = self._config, self._config.logs / "models.log"
        with self._progress.step(f"Model server ({config.provider.model}, {config.provider.chat_model})"):
            command = [sys.executable, "-m", "local.model_server", "--port", str(config.model_port)]
            env = tools.clean_environment(PYTHONPATH=str(config.root))
            self._models = processes.start("the model server", command, env, log, config.root)
            self._record()
            url = f"http://127.0.0.1:{config.model_port}/v1/models"
            processes.wait_for_http(url, self._models, "the model server", log)

    def _stage(self) -> deploy.Staged:
        with self._progress.step("Functions and layer"):
            return deploy.stage(self._config)

    def _record(self) -> None:
        parts = {"emulator": self._emulator, "models": self._models, "postgres": self._postgres}
        with self._lock:
            pids = {name: part.pid for name, part in parts.items() if part is not None}
            processes.record(self._config.processes_file, {SUPERVISOR: os.getpid()} | pids)
        if self._stopping:
            raise LocalError("interrupted")

    def _describe(self, outputs: dict[str, str]) -> dict[str, Any]:
        config = self._config
        assert self._postgres is not None
        password = _password(config)
        users.ensure(config, outputs["UserPoolId"], users.DEMO_USER, password)
        described = {
            "http_url": f"http://{config.execute_api}/{outputs['HttpApiId']}",
            "websocket_url": outputs["WebSocketUrl"],
            "console_url": None,
            "aws_endpoint_url": config.endpoint,
            "region": REGION,
            "bucket": outputs["BucketName"],
            "user_pool_client_id": outputs["UserPoolClientId"],
            "username": users.DEMO_USER,
            "password": password,
            "database_url": self._postgres.url,
        }
        unfinished = config.stack_file.with_suffix(".tmp")
        unfinished.write_text(json.dumps(described, indent=2) + "\n")
        unfinished.chmod(0o600)
        unfinished.rename(config.stack_file)
        return described


def supervisor(config: Config) -> psutil.Process | None:
    """The process that runs this stack, if one does."""
    return processes.recorded(config.processes_file).get(SUPERVISOR)


def _prepare(config: Config) -> None:
    """Checks what can be checked before anything is started."""
    tools.uv()
    config.logs.mkdir(parents=True, exist_ok=True)
    if (running := supervisor(config)) is not None:
        raise LocalError(f"this stack runs already (pid {running.pid}): use it, or end it with `make local-stop`")
    processes.end_leftovers(config.processes_file)
    config.stack_file.unlink(missing_ok=True)
    if (free := shutil.disk_usage(config.home).free) < _NEEDED_BYTES:
        raise LocalError(f"only {free / 1e9:.1f} GB are free at {config.home}: make room for at least 1.5 GB")
    processes.require_free_port(config.port, "for the AWS emulator")
    if config.provider.local:
        processes.require_free_port(config.model_port, "for the model server")


def _password(config: Config) -> str:
    """The demo user's, made once for each stack's home."""
    path = config.home / "demo-password"
    if not path.is_file():
        path.touch(mode=0o600)
        path.write_text(users.generated_password())
    return path.read_text()
