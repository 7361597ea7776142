"""Where outbound calls may go. Pure: addresses and URLs come in, reasons come out.

An address is public when IANA's special-purpose registries (RFC 6890; iana-ipv4-special-registry and
iana-ipv6-special-registry) do not say otherwise. Of IPv6 only 2000::/3 is: the rest is not assigned. An IPv4 address inside
an IPv6 one (mapped, NAT64) counts as what it is; tunnels that hide one (6to4, Teredo) are refused.
"""

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from headrace_tools.errors import ToolFailed

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_SPECIAL_4 = {
    ipaddress.IPv4Network(network): what
    for network, what in (
        ("0.0.0.0/8", "this host"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by a provider's customers"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "a cloud's own"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "for protocols"),
        ("192.0.2.0/24", "for documentation"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "for benchmarks"),
        ("198.51.100.0/24", "for documentation"),
        ("203.0.113.0/24", "for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
}
_SPECIAL_6 = {
    ipaddress.IPv6Network(network): what
    for network, what in (
        ("::/128", "this host"),
        ("::1/128", "loopback"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
        ("2001::/23", "for protocols"),
        ("2001:db8::/32", "for documentation"),
        ("2002::/16", "a 6to4 tunnel"),
        ("3fff::/20", "for documentation"),
    )
}
_GLOBAL_6 = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NUMBER = re.compile(r"^(0[xX][0-9a-fA-F]*|[0-9]+)$")
_HOST = re.compile(r"^[A-Za-z0-9_-]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_-])?$")


class AddressRefused(ToolFailed):
    """A call that would leave for somewhere that it may not."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="refused")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads."""

    scheme: str
    host: str
    """Lower case, without a dot at the end; an IP address in its canonical spelling, without brackets."""
    port: int


def target(url: str) -> Target:
    """Read where a URL leads. Raises `AddressRefused` for what is no plain http or https URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressRefused(f"the URL is not one: {error}") from error
    if parts.scheme not in ("http", "https"):
        raise AddressRefused(f"only http and https URLs are called, not {parts.scheme[:20] or 'one without a scheme'}")
    if "@" in parts.netloc:
        raise AddressRefused("a URL must not hold a user name or password; give `auth` instead")
    if any(ord(character) <= 0x20 or ord(character) == 0x7F for character in url) or "\\" in url:
        raise AddressRefused("the URL has spaces, control characters or backslashes")
    return Target(parts.scheme, host(parts.hostname or ""), port or (443 if parts.scheme == "https" else 80))


def host(name: str) -> str:
    """A host's name as it is compared. Raises `AddressRefused` for what is none, such as an IP address spelled oddly."""
    plain = name.lower().removesuffix(".")
    if (literal := address(plain)) is not None:
        return str(literal)
    try:
        plain = plain if plain.isascii() else plain.encode("idna").decode()
    except UnicodeError as error:
        raise AddressRefused(f"{name[:100]!r} is not the name of a host") from error
    if not _HOST.match(plain) or ".." in plain:
        raise AddressRefused(f"{name[:100]!r} is not the name of a host")
    if _NUMBER.match(plain.rpartition(".")[2]):
        raise AddressRefused(f"{name[:100]!r} is a number; write an IPv4 address as four decimal numbers")
    return plain


def address(text: str) -> Address | None:
    """The IP address that a text is, or None. A zone, as in fe80::1%eth0, is kept."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def refusal(one: Address) -> str | None:
    """Why an address is not public, or None when it is."""
    if isinstance(one, ipaddress.IPv6Address):
        inner = one.ipv4_mapped or (ipaddress.IPv4Address(int(one) & 0xFFFFFFFF) if one in _NAT64 else None)
        if inner is not None:
            return refusal(inner)
        special = next((what for network, what in _SPECIAL_6.items() if one in network), None)
        return special or (None if one in _GLOBAL_6 else "not a public address")
    special = next((what for network, what in _SPECIAL_4.items() if one in network), None)
    # The registries grow; what this Python's copy of them knows beyond the list above is refused too.
    return special or (None if one.is_global else "not a public address")


def check(name: str, addresses: Collection[str], allow_hosts: Collection[str]) -> None:
    """Refuse a host, as `host` spells it, unless it is allowed by name or each of its addresses is public.

    Raises `AddressRefused`; the text names the host, and neither an address nor what is there.
    """
    if name in allow_hosts:
        return
    if not addresses:
        raise AddressRefused(f"the host {name} has no address")
    for text in addresses:
        one = address(text)
        why = "no address" if one is None else refusal(one)
        if why is not None:
            raise AddressRefused(
                f"the host {name} leads to an address that is {why}; name the host in allow_hosts if that is meant"
            )
