"""Stages what the template's CodeUri and ContentUri point at: functions, and the shared layer.

A handler keeps its import path, `functions.<name>.handler`, so each function's folder is staged whole under that path.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from local.failures import LocalError
from local.tools import uv

_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")


def check(root: Path) -> None:
    """Raises where a file that is to be staged does not compile: a function would say so only when it is called."""
    for folder in (root / "functions", root / "layers" / "shared" / "spandrel"):
        for path in sorted(folder.rglob("*.py")):
            where = path.relative_to(root)
            try:
                compile(path.read_bytes(), str(where), "exec", dont_inherit=True)
            except SyntaxError as error:
                raise LocalError(f"{where}, line {error.lineno}: {error.msg}; nothing was staged") from None
            except ValueError as error:  # NUL bytes, in 3.11
                raise LocalError(f"{where}: {error}; nothing was staged") from None


def stage_functions(root: Path, target: Path) -> list[str]:
    """Copies every function that has a handler to `target/<name>/functions/<name>`; returns their names."""
    names = sorted(path.parent.name for path in (root / "functions").glob("*/handler.py"))
    for name in names:
        package = target / name / "functions"
        _fresh(target / name)
        shutil.copytree(root / "functions" / name, package / name, ignore=_IGNORED)
        shutil.copy(root / "functions" / "__init__.py", package / "__init__.py")
    return names


def stage_code(root: Path, target: Path) -> None:
    """Copies our package and the migrations to `target`, where the layer's Python path finds them."""
    for source, name in ((root / "layers" / "shared" / "spandrel", "spandrel"), (root / "migrations", "migrations")):
        staged = target / f".{name}.new"
        _fresh(staged)
        shutil.copytree(source, staged, ignore=_IGNORED, dirs_exist_ok=True)
        shutil.rmtree(target / name, ignore_errors=True)
        staged.rename(target / name)


def requirements(root: Path) -> str:
    """The layer's locked dependencies, with hashes, as a requirements file."""
    command = [uv(), "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--project", str(root)]
    return _run(command, root)


def install(requirements_text: str, target: Path, *options: str) -> None:
    """Installs the requirements into `target` (wheels only: nothing is compiled on the way)."""
    target.mkdir(parents=True, exist_ok=True)
    listing = target.parent / f"{target.name}.requirements.txt"
    listing.write_text(requirements_text)
    command = [uv(), "pip", "install", "--quiet", "--only-binary", ":all:", "--target", str(target), *options]
    _run([*command, "-r", str(listing)], target.parent)


def local_dependencies(root: Path, cache: Path) -> Path:
    """The layer's dependencies for this interpreter and platform, installed once for each state of the lock file."""
    text = requirements(root)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    target = cache / hashlib.sha256(f"{version}\n{text}".encode()).hexdigest()[:16]
    if not (target / ".complete").is_file():
        shutil.rmtree(target, ignore_errors=True)
        install(text, target, "--python", sys.executable, "--compile-bytecode")
        (target / ".complete").touch()
    return target


def digest(paths: Iterable[Path]) -> str:
    """A hash over names and contents of the files below `paths`."""
    total = hashlib.sha256()
    for base in paths:
        files = [base] if base.is_file() else sorted(path for path in base.rglob("*") if path.is_file())
        for path in files:
            if path.suffix != ".pyc":
                total.update(f"{base.name}/{path.relative_to(base)}\0".encode() + path.read_bytes() + b"\0")
    return total.hexdigest()


def _fresh(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)


def _run(command: list[str], cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LocalError(f"`{' '.join(command[:3])}` failed: {done.stderr.strip()[-2000:]}")
    return done.stdout
