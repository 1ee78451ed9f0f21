"""`make build`: functions and layer for AWS in `.build/`, cross-built from wheels on any machine.

The layer carries compiled bytecode that is never checked against its source (the files do not change in Lambda), which
more than halves a cold start's imports, and the root certificates of RDS.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from local import build, certificates
from local.config import ROOT
from local.failures import LocalError
from local.tools import uv

PYTHON = "3.13"
PLATFORMS = {"arm64": "aarch64-manylinux_2_28", "x86_64": "x86_64-manylinux_2_28"}
LIMIT_MB = 250
# importlib.metadata needs METADATA and entry points, the law the licences.
_PRUNED = ("**/*.pyi", "**/py.typed", "*.dist-info/RECORD", "*.dist-info/INSTALLER", "*.dist-info/REQUESTED")
_PRUNED_FOLDERS = ("bin", "**/tests", "**/__pycache__", "*.dist-info/sboms")


def build_all(arch: str, console: Console) -> None:
    """Fills `.build/functions` and `.build/layer`. Raises `LocalError` if the result would not fit into Lambda."""
    started, target = time.monotonic(), ROOT / ".build"
    build.check(ROOT)
    names = build.stage_functions(ROOT, target / "functions")
    packages = target / "layer" / "python"
    shutil.rmtree(target / "layer", ignore_errors=True)
    text = build.requirements(ROOT)
    build.install(text, packages, "--python-platform", PLATFORMS[arch], "--python-version", PYTHON)
    (target / "layer" / "python.requirements.txt").unlink()
    build.stage_code(ROOT, packages)
    prune(packages)
    certificates.write(target / "layer" / "certs" / "rds.pem", target / "cache")
    if not _compile([packages, *(target / "functions" / name for name in names)]):
        console.print(f"  [yellow]no Python {PYTHON} here: the layer carries no bytecode and starts slower[/]")
    layer = _megabytes(target / "layer")
    largest = max(_megabytes(target / "functions" / name) for name in names)
    if layer + largest >= LIMIT_MB:
        raise LocalError(f"layer and function unzip to {layer + largest:.0f} MB; Lambda takes {LIMIT_MB}")
    told = f"  {len(names)} functions and the layer for {arch}, Python {PYTHON}: {', '.join(names)}"
    console.print(told, soft_wrap=True, highlight=False)
    seconds = time.monotonic() - started
    console.print(f"  unzipped {layer + largest:.0f} MB of {LIMIT_MB} [dim]{seconds:.1f} s[/]", highlight=False)


def prune(packages: Path) -> None:
    """Removes what no function needs: tests, type stubs, installers' notes."""
    for pattern in _PRUNED_FOLDERS:
        for folder in [path for path in packages.glob(pattern) if path.is_dir()]:
            shutil.rmtree(folder, ignore_errors=True)
    for pattern in _PRUNED:
        for path in list(packages.glob(pattern)):
            path.unlink()


def _compile(folders: list[Path]) -> bool:
    """Compiles with the version of Python that will run it; False if this machine has none."""
    python = _matching_python()
    if python is None:
        return False
    options = ["-q", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    command = [python, "-m", "compileall", *options]
    # Paths in tracebacks are the ones of Lambda, not those of the machine that built it.
    for folder, seen_as in [(folders[0], "/opt/python"), *((folder, "/var/task") for folder in folders[1:])]:
        subprocess.run([*command, "-s", str(folder), "-p", seen_as, str(folder)], check=False, capture_output=True)
    return True


def _matching_python() -> str | None:
    """A Python of Lambda's version: one that uv finds, or one that pyenv keeps without showing it."""
    asked = [uv(), "python", "find", "--no-project", "--no-python-downloads", PYTHON]
    found = subprocess.run(asked, capture_output=True, text=True, check=False)
    if found.returncode == 0:
        return found.stdout.strip()
    kept = sorted((Path.home() / ".pyenv" / "versions").glob(f"{PYTHON}.*/bin/python"))
    return str(kept[-1]) if kept else None


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local.aws_build", description=__doc__)
    parser.add_argument("--arch", choices=sorted(PLATFORMS), default="arm64")
    console = Console()
    try:
        build_all(parser.parse_args().arch, console)
    except LocalError as error:
        console.print(f"[red]error:[/] {error}", highlight=False, soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
