"""SessionService: conversations and their messages."""

from typing import Any

from headrace.executor.v1 import executor_pb2 as pb
from headrace.executor.v1 import executor_pb2_grpc as pb_grpc
from headrace_runtime import errors

from headrace_executor import codec
from headrace_executor.runs import ids
from headrace_executor.runs.records import Session
from headrace_executor.runs.stores import SessionStore
from headrace_executor.runs.submit import too_many_sessions

MAX_TITLE = 200

Context = Any


class SessionServicer(pb_grpc.SessionServiceServicer):
    """headrace.executor.v1.SessionService."""

    def __init__(self, sessions: SessionStore, *, max_per_tenant: int) -> None:
        self._sessions = sessions
        self._max_per_tenant = max_per_tenant

    async def CreateSession(self, request: pb.CreateSessionRequest, context: Context) -> pb.CreateSessionResponse:  # noqa: N802
        """Open a session."""
        tenant_id = codec.tenant(request.tenant_id)
        if len(request.title) > MAX_TITLE or "\x00" in request.title:
            raise codec.invalid("title", f"must have at most {MAX_TITLE} characters, none of them NUL")
        request_id, metadata = (
            codec.name("request_id", request.request_id, required=False),
            codec.metadata(request.metadata),
        )
        session = await self._sessions.create(
            ids.new(),
            tenant_id=tenant_id,
            request_id=request_id,
            title=request.title,
            metadata=metadata,
            limit=self._max_per_tenant,
        )
        if session is None:
            raise too_many_sessions(self._max_per_tenant)
        if (session.title, session.metadata) != (request.title, metadata):
            text = f"the request id {request_id!r} was used for another request"
            raise errors.FailedPrecondition(text, reason="IDEMPOTENCY_KEY_REUSED")
        return pb.CreateSessionResponse(session=codec.session(session))

    async def GetSession(self, request: pb.GetSessionRequest, context: Context) -> pb.GetSessionResponse:  # noqa: N802
        """Answer with one session."""
        return pb.GetSessionResponse(session=codec.session(await self._find(request.tenant_id, request.session_id)))

    async def ListSessions(self, request: pb.ListSessionsRequest, context: Context) -> pb.ListSessionsResponse:  # noqa: N802
        """Answer with a page of sessions."""
        limit = codec.page_size(request.page_size)
        found = await self._sessions.list(
            codec.tenant(request.tenant_id), before=codec.page_before(request.page_token), limit=limit + 1
        )
        token = codec.page_token(found[limit - 1].session_id) if len(found) > limit else ""
        return pb.ListSessionsResponse(sessions=[codec.session(one) for one in found[:limit]], next_page_token=token)

    async def DeleteSession(self, request: pb.DeleteSessionRequest, context: Context) -> pb.DeleteSessionResponse:  # noqa: N802
        """Remove a session that nothing works for."""
        session_id = ids.parse(request.session_id)
        tenant_id = codec.tenant(request.tenant_id)
        unfinished = await self._sessions.delete(tenant_id, session_id) if session_id else None
        if unfinished is None:
            raise _not_found()
        if unfinished:
            text = f"{unfinished} runs of the session are not finished; cancel them first"
            raise errors.FailedPrecondition(text, reason="SESSION_BUSY")
        return pb.DeleteSessionResponse()

    async def ListMessages(self, request: pb.ListMessagesRequest, context: Context) -> pb.ListMessagesResponse:  # noqa: N802
        """Answer with a page of a session's messages."""
        limit = codec.page_size(request.page_size)
        after = codec.page_after(request.page_token)
        session = await self._find(request.tenant_id, request.session_id)
        found = await self._sessions.messages(session.session_id, after=after, limit=limit + 1)
        token = codec.page_token(str(found[limit - 1].position)) if len(found) > limit else ""
        return pb.ListMessagesResponse(messages=[codec.message(one) for one in found[:limit]], next_page_token=token)

    async def _find(self, tenant_id: str, session_id: str) -> Session:
        known = ids.parse(session_id)
        tenant = codec.tenant(tenant_id)
        session = await self._sessions.get(tenant, known) if known else None
        if session is None:
            raise _not_found()
        return session


def _not_found() -> errors.NotFound:
    return errors.NotFound("no such session", reason="SESSION_NOT_FOUND")
