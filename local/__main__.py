"""`python -m local run | start | stop | sync`: what the Makefile calls."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console

from local import config as configuration, runner
from local.failures import LocalError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m local", description="The whole of Spandrel on one machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="in the foreground, until Ctrl-C")
    run.add_argument("--journal", action="store_true", help=argparse.SUPPRESS)
    commands.add_parser("start", help="in the background")
    commands.add_parser("stop", help="end the one in the background")
    commands.add_parser("sync", help="make changes in functions/, layers/ and migrations/ live")
    options = parser.parse_args(arguments)
    console = Console()
    try:
        config = configuration.load()
        if options.command == "run":
            return runner.run(config, console, journal=options.journal)
        if options.command == "start":
            return runner.start(config, console)
        if options.command == "stop":
            return runner.stop(config, console)
        from local import sync

        return sync.run(config, console)
    except LocalError as error:
        console.print(f"[red]error:[/] {error}", highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
