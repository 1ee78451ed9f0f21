"""The `spandrel` command."""

from __future__ import annotations

import typer

from cli import doctor, migrate, token

app = typer.Typer(
    help="Spandrel's companion: tokens, migrations, and what to do when something does not work.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("token")(token.token)
app.command("migrate")(migrate.migrate)
app.command("doctor")(doctor.doctor)
