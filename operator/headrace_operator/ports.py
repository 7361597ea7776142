"""What the use case needs of the world. Kubernetes objects are the API's own JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from headrace.executor.v1 import executor_pb2 as pb

Json = Mapping[str, Any]


class Key(NamedTuple):
    """Which ExecutorScaler."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Telling:
    """What a round of questions brought."""

    answers: Mapping[str, pb.QueueSignalsResponse]
    """By the executor's IP address."""
    silent: Mapping[str, str]
    """Why the others did not answer; the key is an address, or the name that could not be resolved."""


class Cluster(Protocol):
    """The API server. Every method raises `ApiError`, and `NotFound` where one object is named."""

    async def scalers(self) -> Sequence[Json]:
        """All ExecutorScalers of the namespaces looked after."""

    async def scaler(self, key: Key) -> Json:
        """One ExecutorScaler."""

    async def deployment(self, namespace: str, name: str) -> Json:
        """One Deployment."""

    async def pods(self, namespace: str, selector: str) -> Sequence[Json]:
        """The pods that a label selector chooses."""

    async def quotas(self, namespace: str) -> Sequence[Json]:
        """The namespace's ResourceQuotas."""

    async def scale(self, namespace: str, deployment: str, replicas: int, *, take_over: bool) -> None:
        """Ask for so many replicas. Raises `FieldConflict` when somebody else owns the number, unless `take_over`."""

    async def set_deletion_cost(self, namespace: str, pod: str, cost: int) -> None:
        """Say how much would be lost with a pod: the cheapest goes first."""

    async def write_status(self, scaler: Json, status: Json) -> None:
        """Replace an ExecutorScaler's status."""

    async def publish(self, scaler: Json, *, warning: bool, reason: str, note: str) -> None:
        """Make an Event about an ExecutorScaler."""


class Executors(Protocol):
    """The executors behind a gRPC name."""

    async def ask(self, target: str, *, timeout_s: float) -> Telling:
        """Ask each executor for its signals. What fails is told in the answer, not raised."""

    async def close(self) -> None:
        """Close the connections."""
