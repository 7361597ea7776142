"""Connections that the guard has seen: a host is resolved once, its addresses are checked, one of those is connected to.

What a name resolves to a moment later does not matter (DNS rebinding), and TLS still verifies the name, which httpcore
takes from the URL. Pooled connections are to addresses that were checked when they were opened.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any

import httpcore2
import httpx2

from headrace_tools import guard, metrics
from headrace_tools.limits import Limits

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host. Raises OSError when it has none."""

MAX_ADDRESSES = 4
"""Addresses of one host that are tried, each with its part of the time."""
DEFAULT_CONNECT_S = 5.0


async def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Opens connections to hosts that are public, or allowed by name. Raises `guard.AddressRefused`."""

    def __init__(self, label: str, allow_hosts: Collection[str], resolve: Resolve = resolve) -> None:
        self._label = label
        self._allow_hosts = frozenset(allow_hosts)
        self._resolve = resolve
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to one of the host's addresses, within `timeout` seconds."""
        seconds = timeout or DEFAULT_CONNECT_S
        addresses = (await self._checked(host, port, seconds))[:MAX_ADDRESSES]
        for at, address in enumerate(addresses, 1):
            try:
                return await self._inner.connect_tcp(address, port, seconds / len(addresses), local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if at == len(addresses):
                    raise
        raise httpcore2.ConnectError("no address")

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore2.AsyncNetworkStream:
        """Refuse: a socket on this machine is nothing public."""
        raise guard.AddressRefused("Unix sockets are not called")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def _checked(self, host: str, port: int, seconds: float) -> Sequence[str]:
        try:
            name = guard.host(host)
            literal = guard.address(name)
            if literal is not None:
                addresses: Sequence[str] = [name]
            else:
                async with asyncio.timeout(seconds):
                    addresses = await self._resolve(name, port)
            guard.check(name, addresses, self._allow_hosts)
        except guard.AddressRefused:
            metrics.REFUSED_ADDRESSES.labels(self._label).inc()
            raise
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout("the name was not resolved in time") from error
        except OSError as error:
            raise httpcore2.ConnectError("the name does not resolve") from error
        return addresses


class GuardedTransport(httpx2.AsyncHTTPTransport):
    """httpx's transport over a `GuardedBackend`: no proxy, no repetition, no variables of the environment."""

    def __init__(self, backend: GuardedBackend, *, limits: Limits, context: ssl.SSLContext) -> None:
        super().__init__(verify=context, trust_env=False)
        # httpx has no argument for the backend of its pool.
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=context,
            max_connections=limits.connections,
            max_keepalive_connections=limits.kept_connections,
            keepalive_expiry=limits.keep_alive_s,
            network_backend=backend,
        )


def tls() -> ssl.SSLContext:
    """The context of all connections of a process; making one takes milliseconds."""
    return httpx2.create_ssl_context(trust_env=False)
