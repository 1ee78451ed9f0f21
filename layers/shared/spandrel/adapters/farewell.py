"""Closes WebSocket connections through API Gateway's management API, by the standard library.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html
"""

from __future__ import annotations

import http.client
import time
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from spandrel.adapters.request_signer import RequestSigner
from spandrel.observability import logger

if TYPE_CHECKING:
    from spandrel.settings import RealtimeSettings

TIMEOUT_SECONDS = 5


class ConnectionFarewell:
    """Implements `Farewell`."""

    def __init__(self, settings: RealtimeSettings) -> None:
        self._settings = settings

    def close(self, connection_id: str, frame: bytes) -> None:
        # An answer of the route would come too late: the gateway sends it after the function returned.
        address = urlsplit(self._settings.connections_url)
        kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        connection = kind(address.netloc, timeout=TIMEOUT_SECONDS)
        path = f"{address.path}/@connections/{quote(connection_id, safe='')}"
        signer = RequestSigner("execute-api", self._settings.region, address.netloc)
        try:
            for method, body in (("POST", frame), ("DELETE", b"")):
                lines = signer.headers(method, path, body, time.time()).splitlines()
                headers = dict(line.split(": ", 1) for line in lines)
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status >= http.client.INTERNAL_SERVER_ERROR or answer.status == http.client.FORBIDDEN:
                    logger.warning("farewell refused", extra={"method": method, "status": answer.status})
        except (OSError, http.client.HTTPException) as error:
            logger.warning("farewell failed", extra={"cause": repr(error)})
        finally:
            connection.close()
