"""Conversations that are kept, and their messages."""

import orjson
from fastapi import APIRouter
from starlette.responses import Response

from headrace_edge.bodies import SessionBody
from headrace_edge.edge import Parts
from headrace_edge.json_body import JsonRoute
from headrace_edge.middleware.authentication import Reader, Runner
from headrace_edge.model import Listing, Message, Session
from headrace_edge.routes.parameters import Cursor, Limit, PathId

router = APIRouter(route_class=JsonRoute, tags=["sessions"])


@router.post("/api/sessions", status_code=201, response_model=Session, summary="Begin a session")
async def create_session(body: SessionBody, edge: Parts, caller: Runner) -> Session:
    """Make an empty conversation."""
    return await edge.sessions.create(caller.tenant, title=body.title, metadata=orjson.dumps(body.metadata))


@router.get("/api/sessions", response_model=Listing[Session], summary="List sessions, newest first")
async def list_sessions(edge: Parts, caller: Reader, cursor: Cursor = "", limit: Limit = 50) -> Listing[Session]:
    """Read the tenant's conversations."""
    return await edge.sessions.list(caller.tenant, cursor=cursor, limit=limit)


@router.get("/api/sessions/{session_id}", response_model=Session, summary="Read a session")
async def get_session(session_id: PathId, edge: Parts, caller: Reader) -> Session:
    """Read one conversation."""
    return await edge.sessions.get(caller.tenant, session_id)


@router.delete("/api/sessions/{session_id}", status_code=204, summary="Remove a session")
async def delete_session(session_id: PathId, edge: Parts, caller: Runner) -> Response:
    """Remove a conversation with its messages; its runs stay. 409 while one of them has not ended."""
    await edge.sessions.delete(caller.tenant, session_id)
    return Response(status_code=204)


@router.get("/api/sessions/{session_id}/messages", response_model=Listing[Message], summary="List a session's messages")
async def list_messages(
    session_id: PathId, edge: Parts, caller: Reader, cursor: Cursor = "", limit: Limit = 50
) -> Listing[Message]:
    """Read the messages, oldest first."""
    return await edge.sessions.messages(caller.tenant, session_id, cursor=cursor, limit=limit)
