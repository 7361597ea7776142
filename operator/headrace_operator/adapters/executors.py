"""All executors behind a name: each address is asked on a connection of its own, at once."""

import asyncio
import socket

import grpc
from headrace.executor.v1 import executor_pb2 as pb
from headrace.executor.v1 import executor_pb2_grpc as pb_grpc
from headrace_runtime import channels, errors

from headrace_operator.ports import Telling

_DNS = "dns:///"


class GrpcExecutors:
    """`ports.Executors` over gRPC, for one ExecutorScaler."""

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def ask(self, target: str, *, timeout_s: float) -> Telling:
        """Ask each address that `target` resolves to, in order of address, up to the limit."""
        try:
            async with asyncio.timeout(timeout_s):
                addresses = await _resolve(target)
        except (OSError, TimeoutError, ValueError) as error:
            return Telling({}, {target: f"cannot be resolved: {error!r}"})
        left = await self._connect(addresses[: self._limit])
        outcomes = await asyncio.gather(*(_ask(channel, timeout_s) for channel in left.values()))
        answers: dict[str, pb.QueueSignalsResponse] = {}
        silent: dict[str, str] = {}
        for address, outcome in zip(left, outcomes, strict=True):
            if isinstance(outcome, errors.ServiceError):
                silent[address] = outcome.message[:200]
            else:
                answers[_host(address)] = outcome
        return Telling(answers, silent)

    async def close(self) -> None:
        """Close all connections."""
        await self._connect([])

    async def _connect(self, addresses: list[str]) -> dict[str, grpc.aio.Channel]:
        """Connections to these addresses and to no others."""
        for gone in self._channels.keys() - set(addresses):
            await self._channels.pop(gone).close()
        for address in addresses:
            if address not in self._channels:
                self._channels[address] = channels.open_channel(address)
        return dict(self._channels)


async def _ask(channel: grpc.aio.Channel, timeout_s: float) -> pb.QueueSignalsResponse | errors.ServiceError:
    stub = pb_grpc.ExecutorServiceStub(channel)
    try:
        answer: pb.QueueSignalsResponse = await channels.unary(
            stub.QueueSignals, pb.QueueSignalsRequest(), timeout_s=timeout_s, wait_for_ready=True
        )
    except errors.ServiceError as error:
        return error
    return answer


async def _resolve(target: str) -> list[str]:
    """Every HOST:PORT that a target stands for, sorted."""
    found: set[str] = set()
    for part in target.removeprefix(_DNS).split(","):
        host, _, port = part.rpartition(":")
        infos = await asyncio.get_running_loop().getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
        found |= {f"[{info[4][0]}]:{port}" if info[0] == socket.AF_INET6 else f"{info[4][0]}:{port}" for info in infos}
    return sorted(found)


def _host(address: str) -> str:
    return address.rpartition(":")[0].strip("[]")
