"""Wires the planner: library, model client, plans that are kept, servicer."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

from headrace.planner.v1 import planner_pb2, planner_pb2_grpc
from headrace_llm import app as llm
from headrace_llm.client import ModelClient
from headrace_llm.settings import LlmSettings
from headrace_runtime import serve
from headrace_runtime.settings import load

from headrace_planner import library
from headrace_planner.adapters import redis_plans
from headrace_planner.adapters.model_drafter import ModelDrafter
from headrace_planner.drafting import Limits
from headrace_planner.patching.service import Patcher
from headrace_planner.ports import Plans
from headrace_planner.reuse import Reuse, Room
from headrace_planner.service import Planner
from headrace_planner.servicer import PlannerServicer
from headrace_planner.settings import Settings

SERVICE = planner_pb2.DESCRIPTOR.services_by_name["PlannerService"].full_name


@asynccontextmanager
async def service(settings: Settings) -> AsyncIterator[serve.Service]:
    """The service with the real models."""
    models_settings = load(LlmSettings)
    async with AsyncExitStack() as stack:
        models = await stack.enter_async_context(llm.model_client(models_settings))
        plans = None
        if settings.reuse:
            url = models_settings.redis_url.get_secret_value()
            client = redis_plans.connect(url, timeout_s=settings.reuse_timeout_s)
            plans = shared_plans(settings, await stack.enter_async_context(aclosing(client)))
        yield serve.Service((endpoint(settings, models, plans),))


def shared_plans(settings: Settings, client: redis_plans.Client) -> Plans:
    """The plans that all replicas keep."""
    return redis_plans.RedisPlans(
        client, ttl_s=settings.reuse_ttl_s, timeout_s=settings.reuse_timeout_s, max_plans=settings.reuse_entries
    )


def endpoint(settings: Settings, models: ModelClient, plans: Plans | None = None) -> serve.Endpoint:
    """PlannerService over any models; without `plans` each plan is made anew."""
    limits = Limits(settings.plan_timeout_s, settings.repairs, settings.max_draft_tokens)
    drafter = ModelDrafter(models, slots=settings.draft_slots)
    room = Room(settings.reuse_ttl_s, settings.reuse_plan_bytes, settings.reuse_entries, settings.reuse_bytes)
    files = library.load()
    planner = Planner(files, drafter, limits=limits, reuse=Reuse(plans, room) if plans is not None else None)
    patcher = Patcher(files, drafter, timeout_s=settings.plan_timeout_s)
    return serve.Endpoint(SERVICE, PlannerServicer(planner, patcher), planner_pb2_grpc.add_PlannerServiceServicer_to_server)
