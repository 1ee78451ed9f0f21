"""IAM authentication for RDS: a presigned URL that serves as the password for 15 minutes of connecting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spandrel.adapters.signature import Credentials, presigned_query, utc_now

if TYPE_CHECKING:
    from spandrel.settings import DatabaseSettings

TOKEN_SECONDS = 900


def iam_token(settings: DatabaseSettings, user: str) -> str:
    """https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.Connecting.html"""
    host = f"{settings.host}:{settings.port}"
    query = {"Action": "connect", "DBUser": user}
    signed = presigned_query(
        Credentials.of_function(), "rds-db", settings.region, host, query, TOKEN_SECONDS, utc_now()
    )
    return f"{host}/?{signed}"
