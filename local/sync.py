"""Makes a change in `functions/`, `layers/` or `migrations/` live in the running stack without a deployment."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from local import build, push
from local.failures import LocalError
from local.stack import supervisor

if TYPE_CHECKING:
    from rich.console import Console

    from local.config import Config


def run(config: Config, console: Console) -> int:
    """Stages anew, migrates, and gives every function its code again, which ends its warm workers."""
    started = time.monotonic()
    if supervisor(config) is None or not config.stack_file.is_file():
        raise LocalError("no stack runs here: start it with `make local` or `make local-start`")
    described = json.loads(config.stack_file.read_text())
    # Where it was started, which the environment need not name: at the default port may be somebody else's stack.
    config = replace(config, port=urlsplit(described["aws_endpoint_url"]).port or config.port)
    build.check(config.root)
    names = build.stage_functions(config.root, config.deploy_dir / ".build" / "functions")
    build.stage_code(config.root, config.code_dir)
    push.push(config, names, described["database_url"])
    console.print(f"  live: {', '.join(names)} [dim]{time.monotonic() - started:.1f} s[/]", highlight=False)
    return 0
