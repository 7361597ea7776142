"""Saved workflows, pages and memories of a fake executor, in its process, with real revisions and versions."""

# ruff: noqa: N802 - gRPC names its methods

import uuid
from collections.abc import AsyncIterator
from typing import Any

import grpc
import orjson
from google.protobuf import timestamp_pb2
from headrace.executor.v1 import memories_pb2 as memories
from headrace.executor.v1 import memories_pb2_grpc, pages_pb2_grpc, workflows_pb2_grpc
from headrace.executor.v1 import pages_pb2 as pages
from headrace.executor.v1 import workflows_pb2 as workflows
from headrace_blueprint.model import SCHEMA as LANGUAGE
from headrace_blueprint.model import Blueprint
from headrace_runtime import errors
from pydantic import ValidationError

Context = grpc.aio.ServicerContext[Any, Any]


def faults(blueprint: bytes) -> list[workflows.BlueprintFault]:
    """What the language's own model finds."""
    try:
        Blueprint.model_validate_json(blueprint)
    except ValidationError as error:
        return [
            workflows.BlueprintFault(
                pointer="/".join(("/blueprint", *map(str, one["loc"]))), message=one["msg"], hint="look at the schema"
            )
            for one in error.errors()
        ]
    return []


def now() -> timestamp_pb2.Timestamp:
    time = timestamp_pb2.Timestamp()
    time.GetCurrentTime()
    return time


class FakeWorkflows(workflows_pb2_grpc.WorkflowServiceServicer):
    """Compares and writes as the executor does."""

    def __init__(self) -> None:
        self.workflows: dict[tuple[str, str], workflows.Workflow] = {}
        self.marks: dict[str, int] = {}
        """The highest revision that was removed, by tenant."""
        self.validations: list[workflows.ValidateWorkflowRequest] = []
        self.before_put: list[workflows.PutWorkflowRequest] = []
        """Other writers' requests, each of which is a step ahead of the next write."""

    async def PutWorkflow(self, request: workflows.PutWorkflowRequest, context: Context) -> workflows.PutWorkflowResponse:
        if self.before_put:
            self._put(self.before_put.pop(0))
        return self._put(request)

    def _put(self, request: workflows.PutWorkflowRequest) -> workflows.PutWorkflowResponse:
        key = (request.tenant_id, request.workflow_id)
        found = faults(request.blueprint)
        if found:
            violations = tuple(errors.Violation(one.pointer, f"{one.message}; {one.hint}") for one in found)
            raise errors.InvalidArgument("the blueprint cannot be saved", violations=violations)
        old = self.workflows.get(key)
        self._compare(old, request)
        document = orjson.loads(request.blueprint)
        made = workflows.Workflow(
            workflow_id=request.workflow_id,
            name=document["name"],
            blueprint=request.blueprint,
            revision=(old.revision if old else self.marks.get(request.tenant_id, 0)) + 1,
            create_time=old.create_time if old else now(),
            update_time=now(),
            inputs=orjson.dumps(document.get("inputs", {})),
            description=request.description,
        )
        self.workflows[key] = made
        return workflows.PutWorkflowResponse(workflow=made, created=old is None)

    def _compare(
        self, old: workflows.Workflow | None, request: workflows.PutWorkflowRequest | workflows.DeleteWorkflowRequest
    ) -> None:
        if not request.HasField("expected_revision"):
            return
        if request.expected_revision == 0 and old is not None:
            raise errors.AlreadyExists("there is such a workflow")
        if request.expected_revision != (old.revision if old else 0):
            raise errors.Aborted("the workflow is at another revision", reason="WORKFLOW_CHANGED")

    def workflow(self, tenant: str, workflow_id: str) -> workflows.Workflow:
        found = self.workflows.get((tenant, workflow_id))
        if found is None:
            raise errors.NotFound(f"no workflow {workflow_id}", reason="WORKFLOW_NOT_FOUND")
        return found

    async def GetWorkflow(self, request: workflows.GetWorkflowRequest, context: Context) -> workflows.GetWorkflowResponse:
        return workflows.GetWorkflowResponse(workflow=self.workflow(request.tenant_id, request.workflow_id))

    async def ListWorkflows(
        self, request: workflows.ListWorkflowsRequest, context: Context
    ) -> workflows.ListWorkflowsResponse:
        mine = sorted(name for tenant, name in self.workflows if tenant == request.tenant_id and name > request.page_token)
        shown = mine[: request.page_size]
        answer = workflows.ListWorkflowsResponse(next_page_token=shown[-1] if len(mine) > len(shown) else "")
        for name in shown:
            answer.workflows.add().CopyFrom(self.workflows[request.tenant_id, name])
            answer.workflows[-1].ClearField("blueprint")
        return answer

    async def DeleteWorkflow(
        self, request: workflows.DeleteWorkflowRequest, context: Context
    ) -> workflows.DeleteWorkflowResponse:
        old = self.workflow(request.tenant_id, request.workflow_id)
        self._compare(old, request)
        self.marks[request.tenant_id] = max(old.revision, self.marks.get(request.tenant_id, 0))
        del self.workflows[request.tenant_id, request.workflow_id]
        return workflows.DeleteWorkflowResponse()

    async def ValidateWorkflow(
        self, request: workflows.ValidateWorkflowRequest, context: Context
    ) -> workflows.ValidateWorkflowResponse:
        self.validations.append(request)
        return workflows.ValidateWorkflowResponse(faults=faults(request.blueprint))

    async def GetBlueprintSchema(
        self, request: workflows.GetBlueprintSchemaRequest, context: Context
    ) -> workflows.GetBlueprintSchemaResponse:
        tools = {"x-tools": [f"{request.tenant_id}.calculator"]} if request.tenant_id else {}
        return workflows.GetBlueprintSchemaResponse(schema=orjson.dumps({**LANGUAGE, **tools}))


class FakeMemories(memories_pb2_grpc.MemoryServiceServicer):
    """Compares and writes as the executor does; a search finds what has the query in its text."""

    sessions: dict[str, Any]

    def __init__(self) -> None:
        self.memories: dict[tuple[str, str], memories.Memory] = {}
        self.embeddings_away = False

    def _in_session(self, request: Any) -> str:
        session = self.sessions.get(request.session_id)
        if session is None or session.tenant_id != request.tenant_id:
            raise errors.NotFound("no such session", reason="SESSION_NOT_FOUND")
        return str(request.session_id)

    def _memory(self, request: Any) -> memories.Memory:
        found = self.memories.get((self._in_session(request), request.key))
        if found is None:
            raise errors.NotFound(f"there is no memory {request.key}", reason="MEMORY_NOT_FOUND")
        return found

    async def PutMemory(self, request: memories.PutMemoryRequest, context: Context) -> memories.PutMemoryResponse:
        key = (self._in_session(request), request.key)
        old = self.memories.get(key)
        _compare_memory(old, request)
        made = memories.Memory(
            key=request.key,
            value=request.value,
            text=request.text or request.value.decode(),
            metadata=request.metadata,
            revision=old.revision + 1 if old else 1,
            create_time=old.create_time if old else now(),
            update_time=now(),
        )
        self.memories[key] = made
        return memories.PutMemoryResponse(memory=made, created=old is None)

    async def GetMemory(self, request: memories.GetMemoryRequest, context: Context) -> memories.GetMemoryResponse:
        return memories.GetMemoryResponse(memory=self._memory(request))

    async def ListMemories(self, request: memories.ListMemoriesRequest, context: Context) -> memories.ListMemoriesResponse:
        session_id = self._in_session(request)
        mine = sorted(key for owner, key in self.memories if owner == session_id and key > request.page_token)
        shown = mine[: request.page_size]
        return memories.ListMemoriesResponse(
            memories=[self.memories[session_id, key] for key in shown],
            next_page_token=shown[-1] if len(mine) > len(shown) else "",
        )

    async def DeleteMemory(self, request: memories.DeleteMemoryRequest, context: Context) -> memories.DeleteMemoryResponse:
        _compare_memory(self._memory(request), request)
        del self.memories[request.session_id, request.key]
        return memories.DeleteMemoryResponse()

    async def SearchMemories(
        self, request: memories.SearchMemoriesRequest, context: Context
    ) -> memories.SearchMemoriesResponse:
        session_id = self._in_session(request)
        if self.embeddings_away:
            raise errors.Unavailable("memories cannot be searched", reason="EMBEDDINGS_AWAY", retry_after_s=3)
        mine = [one for (owner, _), one in sorted(self.memories.items()) if owner == session_id]
        found = [memories.FoundMemory(memory=one, score=0.5) for one in mine if request.query in one.text]
        return memories.SearchMemoriesResponse(memories=found[: request.top_k], pending=len(mine) - len(found))


def _compare_memory(old: memories.Memory | None, request: memories.PutMemoryRequest | memories.DeleteMemoryRequest) -> None:
    if not request.HasField("expected_revision"):
        return
    if request.expected_revision == 0 and old is not None:
        raise errors.AlreadyExists("there is such a memory", reason="MEMORY_EXISTS")
    if request.expected_revision != (old.revision if old else 0):
        raise errors.Aborted("the memory is at another revision", reason="MEMORY_CHANGED")


class FakePages(pages_pb2_grpc.PageServiceServicer):
    """Keeps every version; which is current is a mark."""

    def __init__(self) -> None:
        self.pages: dict[tuple[str, str], list[pages.Page]] = {}
        self.page_outputs: dict[tuple[str, int, str], bytes] = {}

    def put(
        self,
        tenant: str,
        *,
        page_id: str = "",
        title: str = "a page",
        slots: Any = (),
        sources: Any = (),
        run_id: str = "run",
        session_id: str = "session",
        instruction: str = "",
    ) -> pages.Page:
        """What a run that makes a page, or a version of one, stores."""
        versions = self.pages.setdefault((tenant, page_id or str(uuid.uuid4())), [])
        (key,) = [key for key, value in self.pages.items() if value is versions]
        parent = next((one for one in versions if one.current), None)
        if parent is not None:
            parent.current = False
        made = pages.Page(
            page_id=key[1],
            version=len(versions) + 1,
            current=True,
            parent_version=parent.version if parent else 0,
            instruction=instruction,
            title=title,
            run_id=run_id,
            session_id=session_id,
            create_time=now(),
            blueprint=b'{"version":1}',
            inputs=b"{}",
            slots=orjson.dumps(list(slots)),
            sources=orjson.dumps(list(sources)),
        )
        versions.append(made)
        return made

    def require_version(self, tenant: str, page_id: str, version: int) -> None:
        """What the executor does before it takes on a change of a version."""
        current = next(one.version for one in self.pages[tenant, page_id] if one.current)
        if current != version:
            raise errors.Aborted(f"the page's current version is {current}, not {version}", reason="PAGE_CHANGED")

    def _versions(self, request: Any) -> list[pages.Page]:
        found = self.pages.get((request.tenant_id, request.page_id))
        if found is None:
            raise errors.NotFound("no such page", reason="PAGE_NOT_FOUND")
        return found

    async def GetPage(self, request: pages.GetPageRequest, context: Context) -> pages.GetPageResponse:
        for one in self._versions(request):
            if one.version == request.version or (one.current and not request.version):
                return pages.GetPageResponse(page=one)
        raise errors.NotFound("no such version", reason="PAGE_NOT_FOUND")

    async def ListPages(self, request: pages.ListPagesRequest, context: Context) -> pages.ListPagesResponse:
        mine = [
            one for (tenant, _), kept in self.pages.items() if tenant == request.tenant_id for one in kept if one.current
        ]
        mine = [one for one in reversed(mine) if not request.session_id or one.session_id == request.session_id]
        start = int(request.page_token or 0)
        end = start + request.page_size
        return pages.ListPagesResponse(
            pages=map(_bare, mine[start:end]), next_page_token=str(end) if end < len(mine) else ""
        )

    async def ListPageVersions(
        self, request: pages.ListPageVersionsRequest, context: Context
    ) -> pages.ListPageVersionsResponse:
        return pages.ListPageVersionsResponse(versions=map(_bare, self._versions(request)))

    async def RestorePage(self, request: pages.RestorePageRequest, context: Context) -> pages.RestorePageResponse:
        versions = self._versions(request)
        current = next(one for one in versions if one.current)
        if request.expected_version not in (0, current.version):
            raise errors.Aborted("another version is current", reason="PAGE_CHANGED")
        wanted = request.version or current.parent_version
        if not wanted:
            raise errors.FailedPrecondition("there is no version before it", reason="NOTHING_TO_UNDO")
        chosen = next((one for one in versions if one.version == wanted), None)
        if chosen is None:
            raise errors.NotFound("no such version", reason="PAGE_NOT_FOUND")
        current.current, chosen.current = False, True
        return pages.RestorePageResponse(page=chosen)

    async def GetPageOutput(
        self, request: pages.GetPageOutputRequest, context: Context
    ) -> AsyncIterator[pages.GetPageOutputResponse]:
        self._versions(request)
        whole = self.page_outputs.get((request.page_id, request.version, request.step))
        if whole is None:
            raise errors.NotFound(f"no value {request.step}", reason="STEP_NOT_FOUND")
        for start in range(0, len(whole), 1000):
            yield pages.GetPageOutputResponse(data=whole[start : start + 1000])

    async def DeletePage(self, request: pages.DeletePageRequest, context: Context) -> pages.DeletePageResponse:
        self._versions(request)
        del self.pages[request.tenant_id, request.page_id]
        return pages.DeletePageResponse()


def _bare(page: pages.Page) -> pages.Page:
    bare = pages.Page()
    bare.CopyFrom(page)
    for name in ("blueprint", "inputs", "slots", "sources"):
        bare.ClearField(name)
    return bare
