"""Loopback TCP ports for the suite's processes, reserved so that nobody else gets them between the choice and the bind."""

import random
import socket
import sys
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
FIRST, LAST = 20_000, 31_999
"""Random ports come from below the ranges that systems give to outgoing connections."""
ATTEMPTS = 200
EDGE_NEIGHBOURS = 20
"""When the wanted port is taken, the next this many are tried before any random one."""


class NoFreePort(Exception):
    """Every port that was tried is taken."""


class Ports:
    """Hands out ports, each once, and holds them until it closes.

    On Linux a reserved port stays bound without listening: only a program that sets SO_REUSEADDR, as servers do, can take
    it. So a crashed process finds its port free when it comes back. Other systems only remember what was handed out.
    """

    def __init__(self, *, seed: int | None = None) -> None:
        self._random = random.Random(seed)  # noqa: S311 - spreads ports, keeps no secret
        self._given: set[int] = set()
        self._held: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of every port."""
        for held in self._held:
            held.close()
        self._held.clear()

    def wanted(self, port: int) -> int:
        """Reserve `port`, or one near it when it is taken. Raises `NoFreePort`."""
        for candidate in range(port, min(port + EDGE_NEIGHBOURS, 65_536)):
            if not listened(candidate) and self._reserve(candidate, shared=True):
                return candidate
        return self.any()

    def any(self) -> int:
        """Reserve a random port. Raises `NoFreePort`."""
        for _ in range(ATTEMPTS):
            candidate = self._random.randint(FIRST, LAST)
            if self._reserve(candidate, shared=False):
                return candidate
        raise NoFreePort(f"no free port on {HOST} between {FIRST} and {LAST}")

    def _reserve(self, port: int, *, shared: bool) -> bool:
        if port in self._given:
            return False
        held = socket.socket()
        if shared:  # connections of an earlier server on it may still linger
            _share(held)
        try:
            held.bind((HOST, port))
        except OSError:
            held.close()
            return False
        self._given.add(port)
        if sys.platform == "linux":
            _share(held)
            self._held.append(held)
        else:
            held.close()
        return True


def listened(port: int) -> bool:
    """Whether another program serves on this port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return True
        return False


def _share(held: socket.socket) -> None:
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
