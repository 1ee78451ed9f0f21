"""What was seen on the way to a foreign server, and the first thing that went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from spandrel.integrations.models import Reason, Timings, TlsEvidence

Phase = Literal["dns", "connect", "tls", "negotiate", "tools", "call"]
_WAITED_FOR = {
    "dns": "DNS did not answer in time.",
    "connect": "The server did not accept a connection in time.",
    "tls": "The TLS handshake did not end in time.",
    "negotiate": "The server accepted the connection and did not answer in time.",
    "tools": "The server did not list its tools in time.",
    "call": "The tool did not answer in time.",
}


Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The IP addresses of a name. Raises `OSError`."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What is the same for every call of this process. `resolve` None: the system's resolver."""

    allow_loopback: bool = False
    resolve: Resolve | None = None


class Fault(Exception):  # noqa: N818 - what a server has, not what we did
    """Why it went no further. `detail` is for the server's owner and holds no secret."""

    def __init__(self, reason: Reason, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.retry_after = reason, detail, retry_after


@dataclass(slots=True)
class Exchange:
    """The answer to the last message. `head`: how its body begins."""

    status: int
    content_type: str
    retry_after: float | None = None
    head: bytes = b""

    @property
    def speaks_json_rpc(self) -> bool:
        return b'"jsonrpc"' in self.head


@dataclass(slots=True)
class Journal:
    """One look at one server. `stage` is what a connection is for, `phase` where it stands.

    `broken` is set with the first fault, so that nobody waits for what cannot come.
    """

    phase: Phase = "dns"
    stage: Literal["negotiate", "tools", "call"] = "negotiate"
    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    negotiate: float | None = None
    tools: float | None = None
    address: str | None = None
    evidence: TlsEvidence | None = None
    exchange: Exchange | None = None
    fault: Fault | None = None
    redirects: int = 0
    broken: asyncio.Event = field(default_factory=asyncio.Event)

    def fail(self, fault: Fault) -> Fault:
        if self.fault is None:
            self.fault = fault
            self.broken.set()
        return fault

    def enter(self, stage: Literal["negotiate", "tools", "call"]) -> None:
        self.stage = self.phase = stage

    def late(self) -> Fault:
        return self.fault or Fault(Reason.TIMEOUT, _WAITED_FOR[self.phase])

    def timings(self, total: float) -> Timings:
        return Timings(self.dns, self.connect, self.tls, self.negotiate, self.tools, total)
