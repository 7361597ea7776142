"""An executor and a rag service that keep everything in memory, behind real grpc.aio servers, to test the edge against."""

# ruff: noqa: N802 - gRPC names its methods

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
import orjson
from headrace.executor.v1 import executor_pb2 as pb
from headrace.executor.v1 import executor_pb2_grpc as grpc_pb
from headrace.rag.v1 import rag_pb2, rag_pb2_grpc
from headrace_runtime import errors

from tests.support.edge_stores import FakeMemories, FakePages, FakeWorkflows

Context = grpc.aio.ServicerContext[Any, Any]
ENDED = (pb.RUN_STATE_SUCCEEDED, pb.RUN_STATE_FAILED, pb.RUN_STATE_CANCELLED)


@dataclass
class FakeRun:
    """A run and its log."""

    run: pb.Run
    request: pb.SubmitRunRequest
    events: list[bytes] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def ended(self) -> bool:
        return self.run.state in ENDED

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = orjson.loads(self.request.body)
        return body

    def has_more(self, last: int) -> bool:
        return self.ended or len(self.events) > last

    async def emit(self, *events: dict[str, Any]) -> None:
        async with self.changed:
            self.events.extend(orjson.dumps(event) for event in events)
            self.run.last_seq = len(self.events)
            self.changed.notify_all()

    async def finish(self, output: Any = None, *, state: pb.RunState = pb.RUN_STATE_SUCCEEDED) -> None:
        self.run.output = orjson.dumps(output or {"reply": "done"})
        self.run.state = state
        self.run.end_time.GetCurrentTime()
        await self.emit({"type": "RUN_FINISHED", "threadId": self.run.session_id, "runId": self.run.run_id})

    async def fail(self, code: str, message: str, *, retry_after_s: float | None = None) -> None:
        self.run.state = pb.RUN_STATE_FAILED
        self.run.error.CopyFrom(pb.RunError(code=code, message=message, retry_after_s=retry_after_s))
        self.run.end_time.GetCurrentTime()
        await self.emit({"type": "RUN_ERROR", "message": message, "code": code})


Step = pb.ChatResponse | errors.ServiceError | asyncio.Event


class FakeExecutor(
    grpc_pb.ExecutorServiceServicer,
    grpc_pb.SessionServiceServicer,
    grpc_pb.CatalogServiceServicer,
    grpc_pb.ChatServiceServicer,
    grpc_pb.UsageServiceServicer,
    FakeWorkflows,
    FakePages,
    FakeMemories,
):
    """Runs do what `script` says when they are submitted; chats go through the steps of `chat`."""

    def __init__(self) -> None:
        FakeWorkflows.__init__(self)
        FakePages.__init__(self)
        FakeMemories.__init__(self)
        self.runs: dict[str, FakeRun] = {}
        self.by_request: dict[tuple[str, str], FakeRun] = {}
        self.sessions: dict[str, pb.Session] = {}
        self.threads: dict[tuple[str, str], str] = {}
        """Sessions by tenant and thread."""
        self.submits = 0
        self.watchers = 0
        self.waiters = 0
        self.lose_answers = 0
        """How many SubmitRun answers are lost after the run was stored."""
        self.refuse: errors.ServiceError | None = None
        self.watch_error: errors.ServiceError | None = None
        self.breaks: list[int] = []
        """Each entry breaks one WatchRun after that many batches."""
        self.signals: pb.QueueSignalsResponse | errors.ServiceError | None = _signals()
        """What QueueSignals answers; None hangs."""
        self.signals_asked = 0
        self.batch = 1_000
        self.metadata: list[tuple[str, str]] = []
        self.chat: Sequence[Step] = ()
        """Each is answered with, raised, or waited for."""
        self.chats: list[pb.ChatRequest] = []
        self.chats_open = 0
        self.usage: dict[str, pb.GetUsageResponse] = {}
        """By tenant. Asked to group by nothing, it answers with one row of 1000 calls."""
        self.usage_requests: list[pb.GetUsageRequest] = []
        self.script: Callable[[FakeRun], Any] | None = None
        self.tools = [pb.Tool(name="calculator", description="Adds.", input_schema=b'{"type":"object"}', kind="builtin")]
        self.outputs: dict[tuple[str, str], Sequence[bytes | errors.ServiceError]] = {}
        """By run and step, in pieces; an error breaks off."""
        self._tasks: set[asyncio.Task[Any]] = set()

    async def SubmitRun(self, request: pb.SubmitRunRequest, context: Context) -> pb.SubmitRunResponse:
        self.submits += 1
        self.metadata = [(k, v) for k, v in context.invocation_metadata() or () if isinstance(v, str)]
        if self.refuse is not None:
            raise self.refuse
        if request.session_id and self._session(request.tenant_id, request.session_id) is None:
            raise errors.NotFound("no such session")
        body = orjson.loads(request.body)
        if "workflow_id" in body:
            self.workflow(request.tenant_id, body["workflow_id"])
        if "page_id" in body and (request.tenant_id, body["page_id"]) not in self.pages:
            raise errors.NotFound("no such page", reason="PAGE_NOT_FOUND")
        if version := body.get("version"):
            self.require_version(request.tenant_id, body["page_id"], version)
        found = self.by_request.get((request.tenant_id, request.request_id))
        if found is not None and found.request.body != request.body:
            raise errors.FailedPrecondition("another request had this key", reason="IDEMPOTENCY_KEY_REUSED")
        if found is None:
            run = pb.Run(
                run_id=str(uuid.uuid4()),
                tenant_id=request.tenant_id,
                session_id=request.session_id or self._thread(request) or str(uuid.uuid4()),
                kind=request.kind,
                state=pb.RUN_STATE_RUNNING,
                priority=request.priority or pb.PRIORITY_STANDARD,
                attempt=1,
            )
            run.create_time.GetCurrentTime()
            run.start_time.GetCurrentTime()
            found = FakeRun(run, request)
            self.runs[run.run_id] = self.by_request[request.tenant_id, request.request_id] = found
            await found.emit({"type": "RUN_STARTED", "threadId": run.session_id, "runId": run.run_id})
            if self.script is not None:
                task = asyncio.create_task(self.script(found))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        if self.lose_answers > 0:
            self.lose_answers -= 1
            raise errors.Unavailable("the answer is lost")
        return pb.SubmitRunResponse(run=found.run, created=True)

    async def StartRun(self, request: pb.StartRunRequest, context: Context) -> AsyncIterator[pb.StartRunResponse]:
        run: pb.Run | None = (await self.SubmitRun(request.submit, context)).run
        assert run is not None
        watch = pb.WatchRunRequest(tenant_id=run.tenant_id, run_id=run.run_id)
        async for answer in self.WatchRun(watch, context):
            yield pb.StartRunResponse(run=run, events=answer.events)
            run = None

    def _find(self, tenant: str, run_id: str) -> FakeRun:
        found = self.runs.get(run_id)
        if found is None or found.run.tenant_id != tenant:
            raise errors.NotFound("no such run")
        return found

    async def GetRun(self, request: pb.GetRunRequest, context: Context) -> pb.GetRunResponse:
        found = self._find(request.tenant_id, request.run_id)
        self.waiters += 1
        try:
            async with asyncio.timeout(request.wait_s), found.changed:
                await found.changed.wait_for(lambda: found.ended)
        except TimeoutError:
            return pb.GetRunResponse(run=found.run)
        finally:
            self.waiters -= 1
        return pb.GetRunResponse(run=found.run)

    async def ListRuns(self, request: pb.ListRunsRequest, context: Context) -> pb.ListRunsResponse:
        mine = [one.run for one in self.runs.values() if one.run.tenant_id == request.tenant_id]
        kept = [r for r in mine if not request.session_id or r.session_id == request.session_id]
        kept = [r for r in kept if not request.state or r.state == request.state]
        start = int(request.page_token or 0)
        end = start + request.page_size
        return pb.ListRunsResponse(runs=kept[start:end], next_page_token=str(end) if end < len(kept) else "")

    async def WatchRun(self, request: pb.WatchRunRequest, context: Context) -> AsyncIterator[pb.WatchRunResponse]:
        if self.watch_error is not None:
            raise self.watch_error
        found = self._find(request.tenant_id, request.run_id)
        if found.ended and request.after > len(found.events):
            raise errors.OutOfRange("past the end")
        self.watchers += 1
        last = request.after
        limit = self.breaks.pop(0) if self.breaks else None
        try:
            for count in itertools.count():
                if count == limit:
                    raise errors.Unavailable("the executor goes away")
                async with found.changed:
                    await found.changed.wait_for(partial(found.has_more, last))
                batch = found.events[last : last + self.batch]
                if not batch:
                    return
                events = [pb.Event(seq=last + i, data=data) for i, data in enumerate(batch, 1)]
                last += len(batch)
                yield pb.WatchRunResponse(events=events)
        finally:
            self.watchers -= 1

    async def CancelRun(self, request: pb.CancelRunRequest, context: Context) -> pb.CancelRunResponse:
        found = self._find(request.tenant_id, request.run_id)
        if found.ended:
            raise errors.FailedPrecondition("the run has ended")
        await found.finish(state=pb.RUN_STATE_CANCELLED)
        return pb.CancelRunResponse(run=found.run)

    async def GetOutput(self, request: pb.GetOutputRequest, context: Context) -> AsyncIterator[pb.GetOutputResponse]:
        self._find(request.tenant_id, request.run_id)
        pieces = self.outputs.get((request.run_id, request.step))
        if pieces is None:
            raise errors.NotFound(f"no finished step {request.step}", reason="STEP_NOT_FOUND")
        for piece in pieces:
            if isinstance(piece, errors.ServiceError):
                raise piece
            yield pb.GetOutputResponse(data=piece)

    async def QueueSignals(self, request: pb.QueueSignalsRequest, context: Context) -> pb.QueueSignalsResponse:
        self.signals_asked += 1
        if self.signals is None:
            await asyncio.Event().wait()
        if isinstance(self.signals, errors.ServiceError):
            raise self.signals
        assert self.signals is not None
        return self.signals

    def _thread(self, request: pb.SubmitRunRequest) -> str:
        """The session of the tenant's thread, "" for a run without one."""
        if not request.thread_id or self._session(request.tenant_id, request.thread_id) is not None:
            return request.thread_id
        known = self.threads.setdefault((request.tenant_id, request.thread_id), str(uuid.uuid4()))
        self.sessions.setdefault(known, pb.Session(session_id=known, tenant_id=request.tenant_id))
        return known

    def _session(self, tenant: str, session_id: str) -> pb.Session | None:
        found = self.sessions.get(session_id)
        return found if found is not None and found.tenant_id == tenant else None

    async def CreateSession(self, request: pb.CreateSessionRequest, context: Context) -> pb.CreateSessionResponse:
        made = pb.Session(
            session_id=str(uuid.uuid4()), tenant_id=request.tenant_id, title=request.title, metadata=request.metadata
        )
        made.create_time.GetCurrentTime()
        self.sessions[made.session_id] = made
        return pb.CreateSessionResponse(session=made)

    async def GetSession(self, request: pb.GetSessionRequest, context: Context) -> pb.GetSessionResponse:
        found = self._session(request.tenant_id, request.session_id)
        if found is None:
            raise errors.NotFound("no such session")
        return pb.GetSessionResponse(session=found)

    async def ListSessions(self, request: pb.ListSessionsRequest, context: Context) -> pb.ListSessionsResponse:
        return pb.ListSessionsResponse(sessions=[s for s in self.sessions.values() if s.tenant_id == request.tenant_id])

    async def DeleteSession(self, request: pb.DeleteSessionRequest, context: Context) -> pb.DeleteSessionResponse:
        if self._session(request.tenant_id, request.session_id) is None:
            raise errors.NotFound("no such session")
        del self.sessions[request.session_id]
        return pb.DeleteSessionResponse()

    async def ListMessages(self, request: pb.ListMessagesRequest, context: Context) -> pb.ListMessagesResponse:
        if self._session(request.tenant_id, request.session_id) is None:
            raise errors.NotFound("no such session")
        return pb.ListMessagesResponse(messages=[pb.Message(message_id="m1", role="user", text="hello", run_id="r1")])

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        model = pb.Model(id="small", provider="test", context_tokens=4096, requests_per_minute=60)
        return pb.ListModelsResponse(models=[model], default_model="small")

    async def Chat(self, request: pb.ChatRequest, context: Context) -> AsyncIterator[pb.ChatResponse]:
        self.chats.append(request)
        self.chats_open += 1
        try:
            await context.send_initial_metadata(())
            for step in self.chat:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, asyncio.Event):
                    await step.wait()
                else:
                    yield step
        finally:
            self.chats_open -= 1

    async def GetUsage(self, request: pb.GetUsageRequest, context: Context) -> pb.GetUsageResponse:
        self.usage_requests.append(request)
        if self.refuse is not None:
            raise self.refuse
        answer = self.usage.get(request.tenant_id, pb.GetUsageResponse())
        if request.group_by or not answer.truncated:
            return answer
        whole = pb.GetUsageResponse()
        whole.rows.add().usage.llm_calls = 1000
        return whole

    async def ListTools(self, request: pb.ListToolsRequest, context: Context) -> pb.ListToolsResponse:
        return pb.ListToolsResponse(tools=self.tools)


def _signals() -> pb.QueueSignalsResponse:
    answer = pb.QueueSignalsResponse(queued_interactive=2, running=1, slots_per_replica=8, replicas=1)
    answer.time.GetCurrentTime()
    answer.models.append(
        pb.ModelSignals(model="small", granted_rpm=60, effective_rpm=45, throttled_ratio=0.25, shared=True)
    )
    return answer


class FakeRag(rag_pb2_grpc.RagServiceServicer):
    """Knows the documents that a test puts in, by tenant, workspace and id."""

    def __init__(self) -> None:
        self.documents: dict[tuple[str, str, str], rag_pb2.Document] = {}

    def put(self, tenant: str, workspace: str, document_id: str) -> None:
        self.documents[tenant, workspace, document_id] = rag_pb2.Document(
            document_id=document_id, workspace=workspace, title="a title", state=rag_pb2.DOCUMENT_STATE_READY, chunks=3
        )

    async def GetWorkspace(self, request: rag_pb2.GetWorkspaceRequest, context: Context) -> rag_pb2.GetWorkspaceResponse:
        if not any(key[:2] == (request.tenant_id, request.workspace) for key in self.documents):
            raise errors.NotFound("no such workspace")
        return rag_pb2.GetWorkspaceResponse(workspace=request.workspace)

    async def Ingest(self, request: rag_pb2.IngestRequest, context: Context) -> rag_pb2.IngestResponse:
        raise errors.FailedPrecondition("the edge never asks for this")

    async def Search(self, request: rag_pb2.SearchRequest, context: Context) -> rag_pb2.SearchResponse:
        mine = [one for key, one in self.documents.items() if key[:2] == (request.tenant_id, request.workspace)]
        chunks = [rag_pb2.Chunk(document_id=one.document_id, title=one.title, text="found", score=0.5) for one in mine]
        return rag_pb2.SearchResponse(chunks=chunks[: request.top_k])

    async def GetDocument(self, request: rag_pb2.GetDocumentRequest, context: Context) -> rag_pb2.GetDocumentResponse:
        return rag_pb2.GetDocumentResponse(document=self._find(request))

    async def ListDocuments(self, request: rag_pb2.ListDocumentsRequest, context: Context) -> rag_pb2.ListDocumentsResponse:
        mine = [one for key, one in self.documents.items() if key[:2] == (request.tenant_id, request.workspace)]
        return rag_pb2.ListDocumentsResponse(documents=mine)

    async def DeleteDocument(
        self, request: rag_pb2.DeleteDocumentRequest, context: Context
    ) -> rag_pb2.DeleteDocumentResponse:
        self._find(request)
        del self.documents[request.tenant_id, request.workspace, request.document_id]
        return rag_pb2.DeleteDocumentResponse()

    async def Embed(self, request: rag_pb2.EmbedRequest, context: Context) -> rag_pb2.EmbedResponse:
        raise errors.FailedPrecondition("the edge never asks for this")

    def _find(self, request: Any) -> rag_pb2.Document:
        found = self.documents.get((request.tenant_id, request.workspace, request.document_id))
        if found is None:
            raise errors.NotFound("no such document")
        return found


def numbered(count: int, *, size: int = 0) -> list[dict[str, Any]]:
    """Text deltas that a run may emit."""
    return [{"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": f"{n}{'x' * size}"} for n in range(count)]
