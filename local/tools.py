"""The tools that run beside the project's environment, each at its pinned version, through uv."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from local.config import MINISTACK, REGION, SAM_CLI
from local.failures import LocalError

# A developer's own AWS settings, Python path or API keys must not leak into the emulator or its functions.
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
_KEPT_PREFIXES = (
    "UV_",
    "PIP_",
    "XDG_",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)


def uv() -> str:
    """The uv binary: the one that runs us, the environment's own, or one on the PATH."""
    candidates = [os.environ.get("UV"), str(Path(sys.prefix) / "bin" / "uv"), shutil.which("uv")]
    for candidate in candidates:
        if candidate and Path(candidate).is_file():
            return candidate
    raise LocalError("uv is missing: run `make setup`")


def _tool(requirement: str, command: str) -> list[str]:
    return [uv(), "tool", "run", "--quiet", "--python", interpreter(), "--from", requirement, command]


def interpreter() -> str:
    """The Python below our virtual environment. Functions run with the emulator's, so both must be one version."""
    return str(getattr(sys, "_base_executable", None) or sys.executable)


def sam() -> list[str]:
    return _tool(SAM_CLI, "sam")


def ministack() -> list[str]:
    return [*_tool(MINISTACK, "python"), str(Path(__file__).with_name("emulator_main.py"))]


def clean_environment(**extra: str) -> dict[str, str]:
    """A small environment for the tools, with credentials that only the emulator takes."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    return kept | {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "SAM_CLI_TELEMETRY": "0",
        **extra,
    }
