"""`spandrel token`: a JWT for the local stack."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import stack


def token(
    username: Annotated[str | None, typer.Option(help="A user of the local pool; the demo user if not given.")] = None,
    password: Annotated[str | None, typer.Option(help="That user's password.", envvar="SPANDREL_PASSWORD")] = None,
) -> None:
    """Print an access token for the local stack, ready for `Authorization: Bearer …`."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    from local.users import token_from

    if (username is None) != (password is None):
        stack.fail("give --username and --password together, or neither")
    described = stack.described()
    cognito = boto3.client(
        "cognito-idp",
        endpoint_url=described["aws_endpoint_url"],
        region_name=described["region"],
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - the emulator takes any
    )
    name, secret = username or described["username"], password or described["password"]
    try:
        typer.echo(token_from(cognito, described["user_pool_client_id"], name, secret))
    except ClientError as error:
        stack.fail(f"{name} cannot sign in: {error.response['Error']['Message']}")
    except BotoCoreError:
        stack.fail(f"the stack at {described['aws_endpoint_url']} does not answer: start it with `make local-start`")
