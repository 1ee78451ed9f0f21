"""Secrets Manager's GetSecretValue, over the standard library: one call at a cold start does not justify boto3's
import.
"""

from __future__ import annotations

import http.client
import json

from spandrel.adapters.signature import Credentials, post_headers, utc_now
from spandrel.errors import SpandrelError

TIMEOUT_SECONDS = 5


class SecretUnreadableError(SpandrelError):
    """A secret of this deployment cannot be read. Check its ARN and the function's permissions."""

    code = "secret_unreadable"
    status = 503


def read_secret(arn: str, region: str, connection: http.client.HTTPConnection | None = None) -> str:
    """The secret's string. Raises `SecretUnreadableError`; neither the error nor a log ever holds the value."""
    host = f"secretsmanager.{region}.amazonaws.com"
    connection = connection or http.client.HTTPSConnection(host, timeout=TIMEOUT_SECONDS)
    body = json.dumps({"SecretId": arn}).encode()
    headers = post_headers(
        Credentials.of_function(), "secretsmanager", region, host, "secretsmanager.GetSecretValue", body, utc_now()
    )
    try:
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise SecretUnreadableError from error
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise SecretUnreadableError
    try:
        return str(json.loads(content)["SecretString"])
    except (ValueError, KeyError, TypeError):
        raise SecretUnreadableError from None  # the cause would carry the answer, and with it the secret
