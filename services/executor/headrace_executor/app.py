"""Wires the executor: the durable half, the pipeline with the services that it calls, the servicers."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from headrace.executor.v1 import executor_pb2_grpc as pb_grpc
from headrace.executor.v1 import memories_pb2_grpc, pages_pb2_grpc, workflows_pb2_grpc
from headrace_llm.app import model_parts
from headrace_llm.client import ModelClient
from headrace_llm.settings import LlmSettings
from headrace_runtime import channels, serve
from headrace_runtime.settings import read
from headrace_tools.app import open_toolbox
from headrace_tools.ports import NoTools, Toolbox

from headrace_executor.adapters.cel_worker import CelWorkers
from headrace_executor.adapters.planner_client import PlannerClient
from headrace_executor.adapters.rag_client import RagClient
from headrace_executor.adapters.router_client import RouterClient
from headrace_executor.catalog_servicer import CatalogServicer
from headrace_executor.chat import Chats
from headrace_executor.chat_servicer import ChatServicer
from headrace_executor.durable import Durable, Stores, open_durable
from headrace_executor.engine.limits import Limits
from headrace_executor.engine.pipeline import RunPipeline
from headrace_executor.memories_servicer import MemoryServicer
from headrace_executor.pages_servicer import PageServicer
from headrace_executor.ports import Pipeline
from headrace_executor.servicer import ExecutorServicer
from headrace_executor.sessions_servicer import SessionServicer
from headrace_executor.settings import Settings
from headrace_executor.usage import Budgets, Usages
from headrace_executor.usage_servicer import UsageServicer
from headrace_executor.workflows_servicer import WorkflowServicer

PACKAGE = "headrace.executor.v1"


@asynccontextmanager
async def service(
    settings: Settings, *, models: ModelClient | None = None, pipeline: Pipeline | None = None
) -> AsyncIterator[serve.Service]:
    """The executor, ready to be served. Tests and benchmarks may give a model client or a pipeline of their own.

    Raises `InvalidSettings`, and `StoreAway` when the database does not answer at start.
    """
    async with AsyncExitStack() as stack:
        toolbox = await stack.enter_async_context(open_toolbox(settings.tools_file, environment=os.environ))
        budgets, waits = None, None
        if models is None:
            own = await stack.enter_async_context(model_parts(read(LlmSettings)))
            models, budgets, waits = own.client, own.budgets, own.waits
        client = models
        rag = RagClient(await stack.enter_async_context(channels.open_channel(settings.rag_target)))
        parts = await _parts(settings, stack) if pipeline is None else None

        def build(stores: Stores) -> Pipeline:
            if pipeline is not None:
                return pipeline
            assert parts is not None
            router, planner, cel = parts
            limits = Limits(
                max_parallel_nodes=settings.max_parallel_nodes,
                max_parallel_nodes_per_replica=settings.max_parallel_nodes_per_replica,
                max_run_nodes=settings.max_run_nodes,
                retry_budget=settings.retry_budget,
                notice_s=settings.notice_s,
            )
            return RunPipeline(
                router=router,
                planner=planner,
                rag=rag,
                models=client,
                sessions=stores.sessions,
                interruptions=stores.interruptions,
                memories=stores.memories,
                workflows=stores.workflows,
                pages=stores.pages,
                toolbox=toolbox,
                cel=cel,
                waits=waits,
                limits=limits,
            )

        durable = await stack.enter_async_context(
            open_durable(settings, pipeline=build, models=client, embeddings=rag, budgets=budgets, toolbox=toolbox)
        )
        if budgets is not None:
            budgets.ledger = durable.usage
        chats = Chats(client, durable.chat_usage, limit=settings.max_chats, text_delay_s=settings.token_delay_s)

        async def drain() -> None:
            await asyncio.gather(durable.drain(), chats.drain())

        served = endpoints(settings, durable, client, chats, budgets, toolbox)
        if parts is not None:
            *_, cel = parts
            cel.fill()
        yield serve.Service(endpoints=served, drain=drain, failed=durable.failed)


async def _parts(settings: Settings, stack: AsyncExitStack) -> tuple[RouterClient, PlannerClient, CelWorkers]:
    targets = (settings.router_target, settings.planner_target)
    router, planner = [await stack.enter_async_context(channels.open_channel(target)) for target in targets]
    cel = CelWorkers()
    stack.push_async_callback(cel.close)
    await cel.begin()
    return RouterClient(router), PlannerClient(planner), cel


def endpoints(
    settings: Settings,
    durable: Durable,
    client: ModelClient,
    chats: Chats,
    budgets: Budgets | None = None,
    toolbox: Toolbox | None = None,
) -> tuple[serve.Endpoint, ...]:
    """The gRPC services over a running durable half."""
    executor = ExecutorServicer(
        durable.runs,
        durable.watchers,
        durable.queue,
        signals=client.signals,
        default_model=client.registry.default,
        costs=durable.costs,
        slots=settings.slots,
        running=durable.worker.running,
    )
    return (
        serve.Endpoint(f"{PACKAGE}.ExecutorService", executor, pb_grpc.add_ExecutorServiceServicer_to_server),
        serve.Endpoint(
            f"{PACKAGE}.SessionService",
            SessionServicer(durable.sessions, max_per_tenant=settings.max_sessions_per_tenant),
            pb_grpc.add_SessionServiceServicer_to_server,
        ),
        serve.Endpoint(
            f"{PACKAGE}.CatalogService",
            CatalogServicer(client, toolbox or NoTools()),
            pb_grpc.add_CatalogServiceServicer_to_server,
        ),
        serve.Endpoint(f"{PACKAGE}.ChatService", ChatServicer(chats), pb_grpc.add_ChatServiceServicer_to_server),
        serve.Endpoint(
            f"{PACKAGE}.UsageService",
            UsageServicer(Usages(durable.usage, budgets)),
            pb_grpc.add_UsageServiceServicer_to_server,
        ),
        serve.Endpoint(
            f"{PACKAGE}.WorkflowService",
            WorkflowServicer(durable.workflows),
            workflows_pb2_grpc.add_WorkflowServiceServicer_to_server,
        ),
        serve.Endpoint(
            f"{PACKAGE}.PageService", PageServicer(durable.pages), pages_pb2_grpc.add_PageServiceServicer_to_server
        ),
        serve.Endpoint(
            f"{PACKAGE}.MemoryService",
            MemoryServicer(durable.memories),
            memories_pb2_grpc.add_MemoryServiceServicer_to_server,
        ),
    )
