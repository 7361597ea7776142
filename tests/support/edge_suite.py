"""A real edge before the fake services of `edge_fakes`, each behind a server that can be killed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
from headrace.executor.v1 import executor_pb2 as pb
from headrace.executor.v1 import executor_pb2_grpc as grpc_pb
from headrace.executor.v1 import (
    memories_pb2,
    memories_pb2_grpc,
    pages_pb2,
    pages_pb2_grpc,
    workflows_pb2,
    workflows_pb2_grpc,
)
from headrace.rag.v1 import rag_pb2, rag_pb2_grpc
from headrace_edge import server
from headrace_edge.settings import Settings
from headrace_runtime import serve

from tests.support.edge_fakes import FakeExecutor, FakeRag


class Part:
    """One fake service's server, which can be killed and started again on the same port."""

    def __init__(self, service: serve.Service) -> None:
        self._service = service
        self._server: grpc.aio.Server | None = None
        self.port = 0

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server, _, self.port = await serve.start(self._service, f"127.0.0.1:{self.port}")

    async def kill(self) -> None:
        if self._server is not None:
            await self._server.stop(grace=None)
            self._server = None


def executor_part(executor: FakeExecutor) -> Part:
    names = {
        name: one
        for file in (pb, workflows_pb2, pages_pb2, memories_pb2)
        for name, one in file.DESCRIPTOR.services_by_name.items()
    }
    adders: dict[str, Any] = {
        "ExecutorService": grpc_pb.add_ExecutorServiceServicer_to_server,
        "SessionService": grpc_pb.add_SessionServiceServicer_to_server,
        "CatalogService": grpc_pb.add_CatalogServiceServicer_to_server,
        "ChatService": grpc_pb.add_ChatServiceServicer_to_server,
        "UsageService": grpc_pb.add_UsageServiceServicer_to_server,
        "WorkflowService": workflows_pb2_grpc.add_WorkflowServiceServicer_to_server,
        "PageService": pages_pb2_grpc.add_PageServiceServicer_to_server,
        "MemoryService": memories_pb2_grpc.add_MemoryServiceServicer_to_server,
    }
    endpoints = tuple(serve.Endpoint(names[name].full_name, executor, add) for name, add in adders.items())
    return Part(serve.Service(endpoints))


def rag_part(rag: FakeRag) -> Part:
    name = rag_pb2.DESCRIPTOR.services_by_name["RagService"].full_name
    return Part(serve.Service((serve.Endpoint(name, rag, rag_pb2_grpc.add_RagServiceServicer_to_server),)))


@dataclass
class Suite:
    """A real edge under a real uvicorn, before fake services."""

    executor: FakeExecutor
    executor_part: Part
    rag: FakeRag
    rag_part: Part
    running: server.Running
    port: int
    client: httpx.AsyncClient

    @property
    def streams(self) -> int:
        return len(self.running.application.streams)


@asynccontextmanager
async def suite(executor: FakeExecutor | None = None, /, **values: Any) -> AsyncIterator[Suite]:
    """Start everything; `values` are settings of the edge."""
    executor, rag = executor or FakeExecutor(), FakeRag()
    parts = executor_part(executor), rag_part(rag)
    for part in parts:
        await part.start()
    try:
        settings = Settings.model_validate(
            {
                "listen": "127.0.0.1:0",
                "executor_target": parts[0].target,
                "rag_target": parts[1].target,
                "drain_s": 5,
                **values,
            }
        )
        sock = server.bind(settings.listen)
        port = sock.getsockname()[1]
        async with server.serving(settings, sock) as running:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as client:
                yield Suite(executor, parts[0], rag, parts[1], running, port, client)
    finally:
        for part in parts:
            await part.kill()


async def until(condition: Callable[[], bool], *, seconds: float = 10) -> None:
    """Wait until `condition` holds. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
