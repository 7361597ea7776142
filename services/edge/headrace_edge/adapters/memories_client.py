"""The executor's memory service as a port."""

import time
from typing import Any

import grpc
from headrace.executor.v1 import memories_pb2 as pb
from headrace.executor.v1 import memories_pb2_grpc as grpc_pb

from headrace_edge.adapters import decoding
from headrace_edge.adapters.calls import Caller
from headrace_edge.memories.model import Memory, MemoryContent, MemoryMatch, MemoryMatches
from headrace_edge.model import Listing


class ExecutorMemories:
    """`ports.Memories` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, caller: Caller) -> None:
        self._stub = grpc_pb.MemoryServiceStub(channel)
        self._caller = caller

    async def put(
        self, tenant: str, session_id: str, key: str, content: MemoryContent, *, expected_revision: int | None
    ) -> tuple[Memory, bool]:
        """See the port."""
        request = pb.PutMemoryRequest(
            tenant_id=tenant,
            session_id=session_id,
            key=key,
            value=content.value,
            text=content.text,
            metadata=content.metadata,
            expected_revision=expected_revision,
        )
        answer: pb.PutMemoryResponse = await self._caller.once(self._stub.PutMemory, request)
        return _memory(answer.memory), answer.created

    async def get(self, tenant: str, session_id: str, key: str) -> Memory:
        """See the port."""
        request = pb.GetMemoryRequest(tenant_id=tenant, session_id=session_id, key=key)
        answer: pb.GetMemoryResponse = await self._caller.repeatable(self._stub.GetMemory, request)
        return _memory(answer.memory)

    async def list(self, tenant: str, session_id: str, *, cursor: str, limit: int) -> Listing[Memory]:
        """See the port."""
        request = pb.ListMemoriesRequest(tenant_id=tenant, session_id=session_id, page_size=limit, page_token=cursor)
        answer: pb.ListMemoriesResponse = await self._caller.repeatable(self._stub.ListMemories, request)
        return Listing[Memory](items=[_memory(one) for one in answer.memories], next_cursor=answer.next_page_token or None)

    async def delete(self, tenant: str, session_id: str, key: str, *, expected_revision: int | None) -> None:
        """See the port."""
        request = pb.DeleteMemoryRequest(
            tenant_id=tenant, session_id=session_id, key=key, expected_revision=expected_revision
        )
        await self._caller.once(self._stub.DeleteMemory, request)

    async def search(self, tenant: str, session_id: str, *, query: str, top_k: int) -> MemoryMatches:
        """See the port."""
        request = pb.SearchMemoriesRequest(tenant_id=tenant, session_id=session_id, query=query, top_k=top_k)
        started = time.perf_counter()
        answer: pb.SearchMemoriesResponse = await self._caller.repeatable(self._stub.SearchMemories, request)
        return MemoryMatches(
            items=[MemoryMatch(**_entry(one.memory), score=one.score) for one in answer.memories],
            pending=answer.pending,
            timings={"search_ms": round((time.perf_counter() - started) * 1000, 3)},
        )


def _entry(one: pb.Memory) -> dict[str, Any]:
    return {
        "key": one.key,
        "value": decoding.json_value(one.value),
        "text": one.text,
        "metadata": decoding.json_value(one.metadata) or {},
    }


def _memory(one: pb.Memory) -> Memory:
    return Memory(
        **_entry(one),
        revision=one.revision,
        created_at=decoding.time(one.create_time),
        updated_at=decoding.time(one.update_time),
    )
