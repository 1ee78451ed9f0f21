"""`spandrel migrate`: what the `migrate` function does on AWS, for a database within reach."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from cli import stack

console = Console()


def migrate(
    plan: Annotated[bool, typer.Option("--plan", help="Show what would be applied; change nothing.")] = False,
    database_url: Annotated[
        str | None,
        typer.Option(
            help="The database, as its owner; the local stack's if not given.", envvar="SPANDREL_DATABASE_URL"
        ),
    ] = None,
) -> None:
    """Apply the pending migrations. Safe to run from many places at once."""
    import psycopg

    from spandrel import migrations

    url = database_url or stack.described()["database_url"]
    try:
        if plan:
            pending = migrations.plan(url)
            _tell(
                [f"{row.name}  [dim]serves code from schema {row.compatible_from} on[/]" for row in pending], "pending"
            )
        else:
            applied = migrations.migrate(url)
            _tell([f"{row.name}  [dim]{row.seconds:.1f} s[/]" for row in applied], "applied")
    except migrations.MigrationError as error:
        stack.fail(str(error))
    except psycopg.OperationalError as error:
        stack.fail(f"the database cannot be reached: {str(error).splitlines()[0]}")
    except psycopg.Error as error:
        stack.fail(f"a migration failed and was rolled back: {error}")


def _tell(rows: list[str], what: str) -> None:
    console.print(f"{len(rows)} {what}" if rows else f"nothing {what}: the schema is up to date", highlight=False)
    for row in rows:
        console.print(f"  {row}", highlight=False, soft_wrap=True)
