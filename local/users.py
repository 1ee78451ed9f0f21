"""Users of the local Cognito pool and their tokens."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from local import emulator

if TYPE_CHECKING:
    from local.config import Config

DEMO_USER = "demo@example.com"


def generated_password() -> str:
    """Random, and with each kind of character that the pool's policy asks for."""
    return f"Aa1-{secrets.token_urlsafe(15)}"


def ensure(config: Config, pool_id: str, username: str, password: str) -> None:
    """Makes the user if it is not there, and its password this one."""
    cognito = emulator.client(config, "cognito-idp")
    with suppress(cognito.exceptions.UsernameExistsException):
        cognito.admin_create_user(
            UserPoolId=pool_id,
            Username=username,
            MessageAction="SUPPRESS",
            UserAttributes=[{"Name": "email", "Value": username}, {"Name": "email_verified", "Value": "true"}],
        )
    cognito.admin_set_user_password(UserPoolId=pool_id, Username=username, Password=password, Permanent=True)


def token(config: Config, client_id: str, username: str, password: str) -> str:
    """An access token, as a browser would get it by signing in."""
    return token_from(emulator.client(config, "cognito-idp"), client_id, username, password)


def token_from(cognito: Any, client_id: str, username: str, password: str) -> str:
    answer = cognito.initiate_auth(
        ClientId=client_id,
        AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": username, "PASSWORD": password},
    )
    return str(answer["AuthenticationResult"]["AccessToken"])
