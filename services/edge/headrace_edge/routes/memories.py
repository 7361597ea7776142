"""What sessions remember: kept under keys, found by meaning."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.responses import Response

from headrace_edge import etags, preconditions
from headrace_edge.edge import Parts
from headrace_edge.json_body import JsonRoute
from headrace_edge.memories import saving
from headrace_edge.memories.bodies import MemoryBody, MemorySearchBody
from headrace_edge.memories.model import Memory, MemoryMatches
from headrace_edge.middleware.authentication import Reader, Runner
from headrace_edge.model import Listing
from headrace_edge.routes.parameters import ETAG, UNCHANGED, Cursor, IfChanged, IfMatch, IfNoneMatch, Limit, PathId

router = APIRouter(route_class=JsonRoute, tags=["sessions"])

MemoryKey = Annotated[str, Path(pattern=r"^[A-Za-z0-9._:-]{1,128}$", description="Chosen by the tenant.")]

_WRITTEN: dict[int | str, dict[str, Any]] = {
    200: {"headers": ETAG},
    201: {"model": Memory, "description": "It is new.", "headers": ETAG},
    412: {"description": "It is at another revision, which the ETag tells.", "headers": ETAG},
}


@router.get("/api/sessions/{session_id}/memory", response_model=Listing[Memory], summary="List a session's memories")
async def list_memories(
    session_id: PathId, edge: Parts, caller: Reader, cursor: Cursor = "", limit: Limit = 50
) -> Listing[Memory]:
    """Read what the session remembers, in the order of the keys."""
    return await edge.memories.list(caller.tenant, session_id, cursor=cursor, limit=limit)


@router.post(
    "/api/sessions/{session_id}/memory/search", response_model=MemoryMatches, summary="Search a session's memories"
)
async def search_memories(session_id: PathId, body: MemorySearchBody, edge: Parts, caller: Reader) -> MemoryMatches:
    """Find the memories nearest to what a query means, in whatever language either is. 503 while that cannot be told."""
    return await edge.memories.search(caller.tenant, session_id, query=body.query, top_k=body.top_k)


@router.get("/api/sessions/{session_id}/memory/{key}", response_model=Memory, responses=UNCHANGED, summary="Read a memory")
async def get_memory(
    session_id: PathId,
    key: MemoryKey,
    response: Response,
    edge: Parts,
    caller: Reader,
    if_none_match: IfChanged = None,
) -> Memory | Response:
    """Read one memory."""
    found = await edge.memories.get(caller.tenant, session_id, key)
    tag = etags.of_revision(found.revision)
    if etags.none_match(if_none_match, tag):
        return Response(status_code=304, headers={"etag": tag})
    response.headers["etag"] = tag
    return found


@router.put(
    "/api/sessions/{session_id}/memory/{key}", response_model=Memory, responses=_WRITTEN, summary="Remember a value"
)
async def put_memory(
    session_id: PathId,
    key: MemoryKey,
    body: MemoryBody,
    response: Response,
    edge: Parts,
    caller: Runner,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Memory:
    """Make or replace a memory; with If-Match only the revision that it names."""
    when = preconditions.read(if_match, if_none_match)
    saved, created = await saving.save(edge.memories, caller.tenant, session_id, key, body.content(), when=when)
    response.headers["etag"] = etags.of_revision(saved.revision)
    if created:
        response.status_code = 201
        response.headers["location"] = f"/api/sessions/{session_id}/memory/{key}"
    return saved


@router.delete("/api/sessions/{session_id}/memory/{key}", status_code=204, summary="Forget a memory")
async def delete_memory(
    session_id: PathId, key: MemoryKey, edge: Parts, caller: Runner, if_match: IfMatch = None
) -> Response:
    """Remove a memory, with If-Match only that revision."""
    await saving.remove(edge.memories, caller.tenant, session_id, key, when=preconditions.read(if_match, None))
    return Response(status_code=204)
