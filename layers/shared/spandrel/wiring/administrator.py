"""The database administrator's connection, for migrations."""

from __future__ import annotations

from spandrel.settings import DatabaseSettings, SettingsError


def admin_conninfo(found: DatabaseSettings) -> str:
    """The administrator's connection: migrations go to the instance itself, not through a proxy."""
    if found.url is not None:
        return found.url
    import json

    from psycopg.conninfo import make_conninfo

    from spandrel.adapters.secrets import read_secret

    if found.admin_secret_arn is None:
        raise SettingsError("set SPANDREL_DATABASE_ADMIN_SECRET_ARN to the secret of the database's administrator")
    secret = json.loads(read_secret(found.admin_secret_arn, found.region))
    return make_conninfo(
        host=found.host,
        port=found.port,
        dbname=found.name,
        user=secret["username"],
        password=secret["password"],
        sslmode="verify-full",
        sslrootcert=found.ssl_root_cert,
        connect_timeout=10,
    )
