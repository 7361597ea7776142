"""Writes memories under their preconditions. Without any, a memory is made or replaced: the last writer wins."""

from headrace_edge import conditional
from headrace_edge.memories.model import Memory, MemoryContent
from headrace_edge.ports import Memories
from headrace_edge.preconditions import Precondition


async def save(
    memories: Memories, tenant: str, session_id: str, key: str, content: MemoryContent, *, when: Precondition
) -> tuple[Memory, bool]:
    """Make or replace a memory, and say whether it was made. Raises Refused (412), ServiceError."""
    target = _target(memories, tenant, session_id, key)

    async def put(revision: int | None) -> tuple[Memory, bool]:
        return await memories.put(tenant, session_id, key, content, expected_revision=revision)

    if when.kind == "unsaid":
        return await put(None)
    if when.kind == "absent":
        return await conditional.create(target, when, put)
    return await conditional.based(target, when, put)


async def remove(memories: Memories, tenant: str, session_id: str, key: str, *, when: Precondition) -> None:
    """Forget a memory. Raises Refused (412), ServiceError."""

    async def delete(revision: int | None) -> None:
        await memories.delete(tenant, session_id, key, expected_revision=revision)

    await conditional.remove(_target(memories, tenant, session_id, key), when, delete)


def _target(memories: Memories, tenant: str, session_id: str, key: str) -> conditional.Target:
    async def read() -> int:
        return (await memories.get(tenant, session_id, key)).revision

    return conditional.Target(f"memory {key}", "MEMORY_CHANGED", "MEMORY_NOT_FOUND", read)
