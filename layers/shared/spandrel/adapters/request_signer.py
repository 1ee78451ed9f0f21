"""Signature Version 4 for many requests: what changes by the day or the second is worked out once.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote

from spandrel.adapters.signature import ALGORITHM, Credentials


@lru_cache(maxsize=4096)
def _quoted(path: str) -> str:
    """Once more: every service but S3 signs the encoded path encoded."""
    return quote(path, safe="/~")


class RequestSigner:
    """Signs requests of one service at one host, by the credentials that the function has at that second."""

    def __init__(self, service: str, region: str, host: str) -> None:
        self._service, self._region, self._host = service, region, host
        self._second = -1
        self._of_key: tuple[str, str] | None = None  # the day and the secret that `_key` was made from
        self._key = b""

    def headers(self, method: str, path: str, body: bytes, now: float) -> str:
        """The header lines of a request, signed. `path` as it stands in the request line; `now`: seconds since 1970."""
        if int(now) != self._second:
            self._begin_second(int(now))
        content = hashlib.sha256(body).hexdigest()
        canonical = f"{method}\n{_quoted(path)}\n\n{self._signed_lines}\n{self._names}\n{content}"
        to_sign = f"{self._to_sign}{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(self._key, to_sign.encode(), "sha256").hex()
        return f"{self._lines}authorization: {self._authorization}{signature}\r\n"

    def _begin_second(self, second: int) -> None:
        self._second, moment = second, datetime.fromtimestamp(second, UTC)
        credentials, day, date = Credentials.of_function(), f"{moment:%Y%m%d}", f"{moment:%Y%m%dT%H%M%SZ}"
        if self._of_key != (day, credentials.secret_key):
            self._of_key, self._key = (day, credentials.secret_key), self._signing_key(credentials.secret_key, day)
        signed = {"host": self._host, "x-amz-date": date}
        if credentials.session_token:
            signed["x-amz-security-token"] = credentials.session_token
        self._signed_lines = "".join(f"{name}:{value}\n" for name, value in signed.items())
        self._lines = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
        self._names = ";".join(signed)
        scope = f"{day}/{self._region}/{self._service}/aws4_request"
        self._to_sign = f"{ALGORITHM}\n{date}\n{scope}\n"
        self._authorization = (
            f"{ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={self._names}, Signature="
        )

    def _signing_key(self, secret_key: str, day: str) -> bytes:
        key = f"AWS4{secret_key}".encode()
        for part in (day, self._region, self._service, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        return key
