"""AWS Signature Version 4 by the standard library, for the functions whose cold start has no room for botocore.

Covers what they need: a presigned URL (RDS IAM tokens), a signed JSON POST (Secrets Manager) and any
plain request. Tests hold it to botocore. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Credentials:
    access_key: str
    secret_key: str
    session_token: str | None

    @classmethod
    def of_function(cls) -> Credentials:
        """The execution role's, as Lambda hands them to the process. They rotate with it, so they are read at each
        use.
        """
        env = os.environ
        return cls(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], env.get("AWS_SESSION_TOKEN"))


def presigned_query(
    credentials: Credentials, service: str, region: str, host: str, query: dict[str, str], seconds: int, now: datetime
) -> str:
    """The query string of a GET to `/` at `host`, signed for `seconds`."""
    scope = f"{now:%Y%m%d}/{region}/{service}/aws4_request"
    query = query | {
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key}/{scope}",
        "X-Amz-Date": f"{now:%Y%m%dT%H%M%SZ}",
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": "host",
    }
    if credentials.session_token:
        query["X-Amz-Security-Token"] = credentials.session_token
    canonical = "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in sorted(query.items()))
    request = f"GET\n/\n{canonical}\nhost:{host}\n\nhost\n{hashlib.sha256(b'').hexdigest()}"
    return f"{canonical}&X-Amz-Signature={_sign(credentials, scope, service, region, request, now)}"


def post_headers(
    credentials: Credentials,
    service: str,
    region: str,
    host: str,
    target: str,
    body: bytes,
    now: datetime,
    *,
    protocol: str = "1.1",
) -> dict[str, str]:
    """The headers of a signed AWS JSON POST of `body` to `/` at `host`; `protocol`: the JSON protocol's version."""
    headers = {
        "content-type": f"application/x-amz-json-{protocol}",
        "host": host,
        "x-amz-date": f"{now:%Y%m%dT%H%M%SZ}",
        "x-amz-target": target,
    }
    if credentials.session_token:
        headers["x-amz-security-token"] = credentials.session_token
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    request = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{now:%Y%m%d}/{region}/{service}/aws4_request"
    signature = _sign(credentials, scope, service, region, request, now)
    headers["authorization"] = (
        f"{ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return headers


def _sign(credentials: Credentials, scope: str, service: str, region: str, request: str, now: datetime) -> str:
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (f"{now:%Y%m%d}", region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, f"{ALGORITHM}\n{now:%Y%m%dT%H%M%SZ}\n{scope}\n{digest}".encode(), "sha256").hex()


def utc_now() -> datetime:
    return datetime.now(UTC)
