"""Which addresses a user may have us call: none that is inside a network, in whatever spelling.

A URL is vetted before it is kept (`vet`), and every IP address is vetted again where it is dialled (`ip_allowed`):
what a name stands for is only known then. Nothing here does I/O.

Ports: 443, and 1024 and above. Those below belong to mail, name and other services that are no web servers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

from spandrel.errors import AddressForbiddenError

IP = IPv4Address | IPv6Address
MAX_URL = 2048
DEFAULT_PORTS = {"https": 443, "http": 80}
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""What `allow_loopback` allows: these hosts, and no other name or address that leads to them."""

# IANA's special-purpose registries (RFC 6890 and after). `is_global` knows most of them, but not in every Python.
_FORBIDDEN_4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32",
    )
)  # fmt: skip
_FORBIDDEN_6 = tuple(
    IPv6Network(block)
    for block in (
        "::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64",
        "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10",
        "ff00::/8",
    )
)  # fmt: skip
# Only this block is handed out to networks; all else is reserved, or has a meaning of its own.
_UNICAST_6 = IPv6Network("2000::/3")
_INSIDE = frozenset({
    "localhost", "localdomain", "local", "internal", "intranet", "private", "lan", "home", "corp", "onion", "arpa",
    "test", "invalid", "alt",
})  # fmt: skip
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")


@dataclass(frozen=True, slots=True)
class Address:
    """A URL that may be called. `host` is in lower case and ASCII, without brackets; `ip` where it is an address."""

    scheme: str
    host: str
    port: int
    ip: IP | None

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port


def ip_allowed(ip: IP | str, *, allow_loopback: bool = False) -> bool:
    """Whether `ip` is on the public internet, or one of this machine's own two where those are allowed.

    Addresses that carry an IPv4 address in themselves (mapped, NAT64, 6to4, Teredo) are refused whatever they carry.
    """
    try:
        found = ip_address(ip) if isinstance(ip, str) else ip
    except ValueError:
        return False
    if allow_loopback and str(found) in LOOPBACK:
        return True
    if isinstance(found, IPv4Address):
        return found.is_global and not any(found in block for block in _FORBIDDEN_4)
    if found.scope_id is not None or found not in _UNICAST_6:
        return False
    return found.is_global and not any(found in block for block in _FORBIDDEN_6)


def vet(url: str, *, allow_loopback: bool = False) -> Address:
    """The address that `url` names. Raises `AddressForbiddenError` with a sentence that says what is wrong."""
    parts, port = _split(url)
    host = _host(parts)
    loopback = allow_loopback and host in LOOPBACK
    if parts.scheme != "https" and not (loopback and parts.scheme == "http"):
        raise AddressForbiddenError("The URL must begin with https://.")
    if port != 443 and port < 1024 and not loopback:
        raise AddressForbiddenError(f"Port {port} cannot be used. Use 443, or one from 1024 on.")
    ip = _literal(host)
    if ip is not None:
        if not ip_allowed(ip, allow_loopback=allow_loopback):
            raise AddressForbiddenError("The URL names an address that is not on the public internet.")
    elif not loopback:
        _vet_name(host)
    return Address(parts.scheme, host, port, ip)


def _split(url: str) -> tuple[SplitResult, int]:
    if len(url) > MAX_URL:
        raise AddressForbiddenError(f"The URL is longer than {MAX_URL} characters.")
    if any(character <= " " or character in "\x7f\\" for character in url):
        raise AddressForbiddenError("The URL holds a blank, a backslash or a control character.")
    try:
        parts = urlsplit(url)
        port = DEFAULT_PORTS.get(parts.scheme, 0) if parts.port is None else parts.port
    except ValueError:
        raise AddressForbiddenError("This is not a URL.") from None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise AddressForbiddenError("The URL must begin with https:// and name a host.")
    if "@" in parts.netloc:
        raise AddressForbiddenError("The URL must not hold a user name or password. Set them as authentication.")
    if "#" in url:
        raise AddressForbiddenError("The URL must not have a fragment (#).")
    return parts, port


def _host(parts: SplitResult) -> str:
    """The host in ASCII. Full-width digits and other spellings become what a resolver would make of them."""
    host = (parts.hostname or "").lower()
    if "%" in host:
        raise AddressForbiddenError("The URL's host holds a zone or an escape.")
    if host.isascii():
        return host
    import idna

    try:
        return idna.encode(host, uts46=True, transitional=False).decode()
    except idna.IDNAError:
        pass
    raise AddressForbiddenError("The URL's host is not a name that DNS could know.")


def _literal(host: str) -> IP | None:
    """The IP address that `host` is. Raises `AddressForbiddenError` for one in a spelling that few would know."""
    try:
        return ip_address(host)
    except ValueError:
        pass
    last = host.rstrip(".").rpartition(".")[2]
    if ":" in host or _NUMERIC.fullmatch(last):  # what inet_aton takes: 127.1, 0x7f.1, 017700000001, 2130706433
        raise AddressForbiddenError("The URL's host looks like an IP address, but is not written as one.")
    return None


def _vet_name(host: str) -> None:
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise AddressForbiddenError("The URL's host is not a name that DNS could know.")
    if len(labels) < 2 or labels[-1] in _INSIDE:
        raise AddressForbiddenError("The URL's host is a name for inside a network.")
