"""The AWS emulator (MiniStack): its process, its state on disk, and boto3 clients that talk to it."""

from __future__ import annotations

import shutil
import signal
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local import processes, tools
from local.config import REGION

if TYPE_CHECKING:
    from local.config import Config


def log_file(config: Config) -> Path:
    return config.logs / "emulator.log"


def start(config: Config) -> subprocess.Popen[bytes]:
    """Starts the emulator with its state in `<home>/aws`; `wait` tells when it serves."""
    # Workers unpack functions below the temporary directory; those of a killed run are rubbish.
    temporary = config.home / "tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    state = config.home / "aws"
    env = tools.clean_environment(
        GATEWAY_PORT=str(config.port),
        BIND_HOST="127.0.0.1",
        TMPDIR=str(temporary),
        PERSIST_STATE="1",
        STATE_DIR=str(state / "state"),
        S3_PERSIST="1",
        S3_DATA_DIR=str(state / "s3"),
        # There is no Docker here, and none is looked for.
        DOCKER_HOST="unix:///nonexistent/docker.sock",
        LAMBDA_WARM_TTL_SECONDS="120",
    )
    return processes.start("the AWS emulator", tools.ministack(), env, log_file(config), config.home)


def wait(config: Config, process: subprocess.Popen[bytes]) -> None:
    url = f"{config.endpoint}/_ministack/health"
    processes.wait_for_http(url, process, "the AWS emulator", log_file(config))


def checkpoint(process: subprocess.Popen[bytes]) -> None:
    """Asks the emulator to write its state now, and regularly from now on."""
    process.send_signal(signal.SIGUSR1)


def client(config: Config, service: str) -> Any:
    """A boto3 client of the emulator."""
    return _session().client(
        service,
        endpoint_url=config.endpoint,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - the emulator takes any
    )


@cache
def _session() -> Any:
    import boto3

    return boto3.session.Session()
