"""MemoryService: what a tenant's sessions remember."""

import re
from typing import Any

import orjson
from headrace.executor.v1 import memories_pb2 as pb
from headrace.executor.v1 import memories_pb2_grpc as pb_grpc

from headrace_executor import codec
from headrace_executor.memories import MAX_TEXT, Memories, Memory, MemoryWrite, memory_not_found, session_not_found
from headrace_executor.runs import ids

MAX_VALUE_BYTES = 64 * 1024
MAX_TOP_K, DEFAULT_TOP_K = 50, 5
KEY = re.compile(r"[A-Za-z0-9._:-]{1,128}")

Context = Any


class MemoryServicer(pb_grpc.MemoryServiceServicer):
    """headrace.executor.v1.MemoryService."""

    def __init__(self, memories: Memories) -> None:
        self._memories = memories

    async def PutMemory(self, request: pb.PutMemoryRequest, context: Context) -> pb.PutMemoryResponse:  # noqa: N802
        """Make or replace a memory."""
        if not KEY.fullmatch(request.key):
            raise codec.invalid("key", f"must be {KEY.pattern}")
        write = MemoryWrite(
            key=request.key,
            value=request.value,
            text=_text(request.text, request.value),
            metadata=codec.metadata(request.metadata),
            expected_revision=codec.expected_revision(request),
        )
        saved = await self._memories.put(codec.tenant(request.tenant_id), _session(request.session_id), write)
        return pb.PutMemoryResponse(memory=_memory(saved), created=saved.revision == 1)

    async def GetMemory(self, request: pb.GetMemoryRequest, context: Context) -> pb.GetMemoryResponse:  # noqa: N802
        """Answer with one memory."""
        found = await self._memories.get(codec.tenant(request.tenant_id), _session(request.session_id), _known(request.key))
        return pb.GetMemoryResponse(memory=_memory(found))

    async def ListMemories(self, request: pb.ListMemoriesRequest, context: Context) -> pb.ListMemoriesResponse:  # noqa: N802
        """Answer with a page of memories."""
        page, rest = await self._memories.list(
            codec.tenant(request.tenant_id),
            _session(request.session_id),
            after=codec.page_key(request.page_token, KEY),
            limit=codec.page_size(request.page_size),
        )
        token = codec.page_token(rest) if rest else ""
        return pb.ListMemoriesResponse(memories=[_memory(one) for one in page], next_page_token=token)

    async def DeleteMemory(self, request: pb.DeleteMemoryRequest, context: Context) -> pb.DeleteMemoryResponse:  # noqa: N802
        """Forget a memory."""
        await self._memories.delete(
            codec.tenant(request.tenant_id),
            _session(request.session_id),
            _known(request.key),
            expected_revision=codec.expected_revision(request),
        )
        return pb.DeleteMemoryResponse()

    async def SearchMemories(  # noqa: N802
        self, request: pb.SearchMemoriesRequest, context: Context
    ) -> pb.SearchMemoriesResponse:
        """Answer with the memories nearest to a query."""
        query = request.query.strip()
        if not query or len(request.query) > MAX_TEXT or "\x00" in query:
            raise codec.invalid("query", f"must have 1 to {MAX_TEXT} characters, none of them NUL")
        if not 0 <= request.top_k <= MAX_TOP_K:
            raise codec.invalid("top_k", f"must be 1 to {MAX_TOP_K}, or 0 for {DEFAULT_TOP_K}")
        found = await self._memories.search(
            codec.tenant(request.tenant_id),
            _session(request.session_id),
            query,
            top_k=request.top_k or DEFAULT_TOP_K,
        )
        matches = [pb.FoundMemory(memory=_memory(one.memory), score=one.score) for one in found.matches]
        return pb.SearchMemoriesResponse(memories=matches, pending=found.pending)


def _session(session_id: str) -> str:
    """An id that a session may have. Raises NotFound."""
    known = ids.parse(session_id)
    if known is None:
        raise session_not_found()
    return known


def _known(key: str) -> str:
    """A key that there may be. Raises NotFound."""
    if not KEY.fullmatch(key):
        raise memory_not_found(key)
    return key


def _text(text: str, value: bytes) -> str:
    """What a search compares with: the text, or else what the value says. Raises InvalidArgument for either."""
    if len(value) > MAX_VALUE_BYTES:
        raise codec.invalid("value", f"must have at most {MAX_VALUE_BYTES} bytes")
    try:
        read = orjson.loads(value)
    except orjson.JSONDecodeError:
        raise codec.invalid("value", "must be JSON") from None
    if text:
        if not text.strip() or len(text) > MAX_TEXT or "\x00" in text:
            raise codec.invalid("text", f"must have 1 to {MAX_TEXT} characters that say something, none of them NUL")
        return text
    said = read if isinstance(read, str) and read.strip() else value.decode()
    return said.replace("\x00", "\ufffd")[:MAX_TEXT]


def _memory(value: Memory) -> pb.Memory:
    return pb.Memory(
        key=value.key,
        value=value.value,
        text=value.text,
        metadata=value.metadata,
        revision=value.revision,
        create_time=codec.timestamp(value.created_at),
        update_time=codec.timestamp(value.updated_at),
    )
