"""The executor's three services as ports: requests encoded, answers decoded into the edge's shapes."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import grpc
from headrace.executor.v1 import executor_pb2 as pb
from headrace.executor.v1 import executor_pb2_grpc as grpc_pb
from headrace_runtime import errors

from headrace_edge.adapters import decoding
from headrace_edge.adapters.calls import Caller
from headrace_edge.model import Listing, Message, Run, RunRecord, Session, Skill, Submission
from headrace_edge.ports import Event
from headrace_edge.quota.model import Models, Quota


class ExecutorRuns:
    """`ports.Runs` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, caller: Caller, *, watch_max_s: float, output_timeout_s: float) -> None:
        self._stub = grpc_pb.ExecutorServiceStub(channel)
        self._caller = caller
        self._watch_max_s = watch_max_s
        self._output_timeout_s = output_timeout_s

    async def submit(self, submission: Submission) -> Run:
        """See the port."""
        answer: pb.SubmitRunResponse = await self._caller.repeatable(self._stub.SubmitRun, _request(submission))
        return decoding.run(answer.run)

    async def start(self, submission: Submission) -> tuple[Run, AsyncGenerator[Sequence[Event], None]]:
        """See the port."""
        request = pb.StartRunRequest(submit=_request(submission))
        answers = self._caller.stream(self._stub.StartRun, request, timeout_s=self._watch_max_s)
        try:
            async with asyncio.timeout(self._caller.timeout_s):
                first: pb.StartRunResponse = await anext(answers)
        except TimeoutError as error:
            await answers.aclose()
            raise errors.DeadlineExceeded("the executor service did not answer in time") from error
        except BaseException:
            await answers.aclose()
            raise
        return decoding.run(first.run), _events(first, answers)

    async def get(self, tenant: str, run_id: str, *, wait_s: int = 0) -> RunRecord:
        """See the port."""
        request = pb.GetRunRequest(tenant_id=tenant, run_id=run_id, wait_s=wait_s)
        timeout_s = self._caller.timeout_s + wait_s
        answer: pb.GetRunResponse = await self._caller.repeatable(self._stub.GetRun, request, timeout_s=timeout_s)
        return decoding.record(answer.run)

    async def list(self, tenant: str, *, session_id: str, status: str, kind: str, cursor: str, limit: int) -> Listing[Run]:
        """See the port."""
        request = pb.ListRunsRequest(
            tenant_id=tenant,
            session_id=session_id,
            state=f"RUN_STATE_{(status or 'unspecified').upper()}",
            kind=f"RUN_KIND_{(kind or 'unspecified').upper()}",
            page_size=limit,
            page_token=cursor,
        )
        answer: pb.ListRunsResponse = await self._caller.repeatable(self._stub.ListRuns, request)
        return Listing[Run](items=[decoding.run(run) for run in answer.runs], next_cursor=answer.next_page_token or None)

    async def watch(self, tenant: str, run_id: str, *, after: int) -> AsyncGenerator[Sequence[Event], None]:
        """See the port."""
        request = pb.WatchRunRequest(tenant_id=tenant, run_id=run_id, after=after)
        async with aclosing(self._caller.stream(self._stub.WatchRun, request, timeout_s=self._watch_max_s)) as batches:
            async for batch in batches:
                yield batch.events

    async def cancel(self, tenant: str, run_id: str) -> Run:
        """See the port."""
        request = pb.CancelRunRequest(tenant_id=tenant, run_id=run_id)
        answer: pb.CancelRunResponse = await self._caller.once(self._stub.CancelRun, request)
        return decoding.run(answer.run)

    async def output(self, tenant: str, run_id: str, step: str) -> AsyncGenerator[bytes, None]:
        """See the port."""
        request = pb.GetOutputRequest(tenant_id=tenant, run_id=run_id, step=step)
        stream = self._caller.stream(self._stub.GetOutput, request, timeout_s=self._output_timeout_s)
        async with aclosing(stream) as pieces:
            async for piece in pieces:
                if piece.data:
                    yield piece.data

    async def signals(self) -> Quota:
        """See the port."""
        answer: pb.QueueSignalsResponse = await self._caller.repeatable(self._stub.QueueSignals, pb.QueueSignalsRequest())
        return decoding.quota(answer)


def _request(submission: Submission) -> pb.SubmitRunRequest:
    return pb.SubmitRunRequest(
        tenant_id=submission.tenant,
        request_id=submission.request_id,
        session_id=submission.session_id,
        kind=f"RUN_KIND_{submission.kind.upper()}",
        priority=f"PRIORITY_{(submission.priority or 'unspecified').upper()}",
        traceparent=submission.traceparent,
        body=submission.body,
        thread_id=submission.thread_id,
    )


async def _events(
    first: pb.StartRunResponse, answers: AsyncGenerator[pb.StartRunResponse, None]
) -> AsyncGenerator[Sequence[Event], None]:
    async with aclosing(answers):
        yield first.events
        async for answer in answers:
            yield answer.events


class ExecutorSessions:
    """`ports.Sessions` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, caller: Caller) -> None:
        self._stub = grpc_pb.SessionServiceStub(channel)
        self._caller = caller

    async def create(self, tenant: str, *, title: str, metadata: bytes) -> Session:
        """See the port."""
        request = pb.CreateSessionRequest(tenant_id=tenant, title=title, metadata=metadata, request_id=uuid.uuid4().hex)
        answer: pb.CreateSessionResponse = await self._caller.repeatable(self._stub.CreateSession, request)
        return decoding.session(answer.session)

    async def get(self, tenant: str, session_id: str) -> Session:
        """See the port."""
        request = pb.GetSessionRequest(tenant_id=tenant, session_id=session_id)
        answer: pb.GetSessionResponse = await self._caller.repeatable(self._stub.GetSession, request)
        return decoding.session(answer.session)

    async def list(self, tenant: str, *, cursor: str, limit: int) -> Listing[Session]:
        """See the port."""
        request = pb.ListSessionsRequest(tenant_id=tenant, page_size=limit, page_token=cursor)
        answer: pb.ListSessionsResponse = await self._caller.repeatable(self._stub.ListSessions, request)
        return Listing[Session](
            items=[decoding.session(one) for one in answer.sessions], next_cursor=answer.next_page_token or None
        )

    async def delete(self, tenant: str, session_id: str) -> None:
        """See the port."""
        await self._caller.once(self._stub.DeleteSession, pb.DeleteSessionRequest(tenant_id=tenant, session_id=session_id))

    async def messages(self, tenant: str, session_id: str, *, cursor: str, limit: int) -> Listing[Message]:
        """See the port."""
        request = pb.ListMessagesRequest(tenant_id=tenant, session_id=session_id, page_size=limit, page_token=cursor)
        answer: pb.ListMessagesResponse = await self._caller.repeatable(self._stub.ListMessages, request)
        return Listing[Message](
            items=[decoding.turn(one) for one in answer.messages], next_cursor=answer.next_page_token or None
        )


class ExecutorCatalog:
    """`ports.Catalog` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, caller: Caller) -> None:
        self._stub = grpc_pb.CatalogServiceStub(channel)
        self._caller = caller

    async def models(self) -> Models:
        """See the port."""
        answer: pb.ListModelsResponse = await self._caller.repeatable(self._stub.ListModels, pb.ListModelsRequest())
        return Models(models=[decoding.model(one) for one in answer.models], default=answer.default_model)

    async def tools(self, tenant: str) -> list[Skill]:
        """See the port."""
        answer: pb.ListToolsResponse = await self._caller.repeatable(
            self._stub.ListTools, pb.ListToolsRequest(tenant_id=tenant)
        )
        return [decoding.tool(one) for one in answer.tools]
