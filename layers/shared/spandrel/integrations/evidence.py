"""What a look at a server found, in the form in which it is kept and answered. It holds no secret."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from spandrel.integrations.models import Probe
from spandrel.integrations.tools import storable

MAX_TEXT = 500
MAX_CHAIN = 10


def clipped(text: str | None, limit: int = MAX_TEXT) -> str | None:
    """As a foreign server's words may be kept: storable and short."""
    return None if text is None else str(storable(text))[:limit]


def server(probe: Probe) -> dict[str, Any] | None:
    """What the server said of itself; None where it did not come to that."""
    if probe.reason is not None:
        return None
    tls = probe.tls
    first = min((each.not_after for each in tls.chain), default=None) if tls else None
    return {
        "era": probe.era,
        "protocol_version": clipped(probe.protocol_version, 50),
        "name": clipped(probe.server_name, 200),
        "version": clipped(probe.server_version, 100),
        "capabilities": _capabilities(probe),
        "tls_days_left": tls.days_left if tls else None,
        "tls_not_after": first.isoformat() if first else None,
    }


def evidence(probe: Probe) -> dict[str, Any]:
    """Timings in milliseconds; null: the phase was not reached. Tools by number alone: the registry has them."""
    tls = probe.tls
    return {
        "timings_ms": {name: _rounded(value) for name, value in asdict(probe.timings).items()},
        "address": clipped(probe.address, 100),
        "tls": tls
        and {
            "version": clipped(tls.version, 20),
            "days_left": tls.days_left,
            "chain": [
                {
                    "subject": clipped(each.subject),
                    "issuer": clipped(each.issuer),
                    "not_before": each.not_before.isoformat(),
                    "not_after": each.not_after.isoformat(),
                    "sha256": clipped(each.sha256, 64),
                }
                for each in tls.chain[:MAX_CHAIN]
            ],
        },
        "era": probe.era,
        "protocol_version": clipped(probe.protocol_version, 50),
        "server_name": clipped(probe.server_name, 200),
        "server_version": clipped(probe.server_version, 100),
        "capabilities": _capabilities(probe),
        "tools": len(probe.tools),
        "retry_after": probe.retry_after,
    }


def _capabilities(probe: Probe) -> dict[str, Any]:
    """Names of what the server offers, with their simple settings: `{"tools": {"listChanged": true}}`."""
    return {
        str(clipped(name, 50)): {
            str(clipped(key, 50)): value for key, value in list(settings.items())[:20] if isinstance(value, bool)
        }
        if isinstance(settings, dict)
        else {}
        for name, settings in list(probe.capabilities.items())[:20]
    }


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 3)
