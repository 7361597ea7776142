"""Wires the planner: library, model client, servicer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from headrace.planner.v1 import planner_pb2, planner_pb2_grpc
from headrace_llm import app as llm
from headrace_llm.client import ModelClient
from headrace_llm.settings import LlmSettings
from headrace_runtime import serve
from headrace_runtime.settings import load

from headrace_planner import library
from headrace_planner.adapters.model_drafter import ModelDrafter
from headrace_planner.drafting import Limits
from headrace_planner.service import Planner
from headrace_planner.servicer import PlannerServicer
from headrace_planner.settings import Settings

SERVICE = planner_pb2.DESCRIPTOR.services_by_name["PlannerService"].full_name


@asynccontextmanager
async def service(settings: Settings) -> AsyncIterator[serve.Service]:
    """The service with the real models."""
    async with llm.model_client(load(LlmSettings)) as models:
        yield serve.Service((endpoint(settings, models),))


def endpoint(settings: Settings, models: ModelClient) -> serve.Endpoint:
    """PlannerService over any models."""
    limits = Limits(settings.plan_timeout_s, settings.repairs, settings.max_draft_tokens)
    drafter = ModelDrafter(models, slots=settings.draft_slots)
    servicer = PlannerServicer(Planner(library.load(), drafter, limits=limits))
    return serve.Endpoint(SERVICE, servicer, planner_pb2_grpc.add_PlannerServiceServicer_to_server)
