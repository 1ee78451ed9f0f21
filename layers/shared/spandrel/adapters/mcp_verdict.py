"""From what was seen of a server to a reason and a sentence for its owner. No secret gets into the sentence."""

from __future__ import annotations

from spandrel.adapters.outbound_faults import Exchange, Fault, Journal
from spandrel.integrations.models import Auth, BearerAuth, HeaderAuth, OAuthClientCredentials, Reason

MAX_TOLD = 300
_HTML = b"<"


def by_status(exchange: Exchange) -> Fault | None:
    """Answers that end a look whatever else they say."""
    status = exchange.status
    if status in (401, 403):
        refused = "refused the credentials" if status == 403 else "asks for credentials, or refused those that it got"
        return Fault(Reason.AUTH_REQUIRED, f"The server {refused} (HTTP {status}).")
    if status == 429:
        told = "The server is asked more often than it allows (HTTP 429)."
        return Fault(Reason.RATE_LIMITED, told, retry_after=exchange.retry_after)
    return None


def not_negotiated(journal: Journal, said: str | None) -> Fault:
    """No protocol was agreed on. `said`: the server's own words, if it spoke JSON-RPC."""
    exchange = journal.exchange
    if exchange is None:
        return Fault(Reason.CONNECTION, "The server could not be reached.")
    if exchange.speaks_json_rpc:
        return Fault(Reason.PROTOCOL, told("The server speaks JSON-RPC, but no version of MCP that we do.", said))
    status = exchange.status
    if status == 404:
        return Fault(
            Reason.NOT_FOUND, "There is nothing at this path (HTTP 404). Check the URL, it often ends in /mcp."
        )
    if status >= 500:
        told_ = f"The server failed (HTTP {status})."
        return Fault(Reason.SERVER_ERROR, told_, retry_after=exchange.retry_after)
    if exchange.head.lstrip()[:1] == _HTML or exchange.content_type == "text/html":
        return Fault(Reason.NOT_MCP, "A web page is at this address, not an MCP server.")
    if status == 405:
        return Fault(
            Reason.NOT_MCP, "Nothing takes MCP messages here (HTTP 405). An older server may want transport sse."
        )
    return Fault(Reason.NOT_MCP, f"What is at this address is not an MCP server (HTTP {status}).")


def told(sentence: str, said: str | None) -> str:
    """The sentence, and what the server said, on one line and cut short."""
    if not said:
        return sentence
    words = " ".join("".join(each if each.isprintable() else " " for each in said[: 4 * MAX_TOLD]).split())
    return f"{sentence} It said: {words[:MAX_TOLD]}"


def redact(text: str, auth: Auth) -> str:
    """A server may say back what it was sent."""
    for secret in secrets(auth):
        if len(secret) >= 4:
            text = text.replace(secret, "***")
    return text


def secrets(auth: Auth) -> tuple[str, ...]:
    match auth:
        case BearerAuth(token=token):
            return (token,)
        case HeaderAuth(value=value):
            return (value, *value.split())
        case OAuthClientCredentials(client_secret=secret):
            return (secret,)
    return ()
