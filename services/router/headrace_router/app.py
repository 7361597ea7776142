"""Wires the router: examples, embedder, model client, servicer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from headrace.router.v1 import router_pb2, router_pb2_grpc
from headrace_llm import app as llm
from headrace_llm import embeddings
from headrace_llm.settings import LlmSettings
from headrace_runtime import serve, tasks
from headrace_runtime.settings import load

from headrace_router import examples
from headrace_router.asker import Asker
from headrace_router.neighbourhood import Neighbourhood
from headrace_router.ports import Models
from headrace_router.service import Router
from headrace_router.servicer import RouterServicer
from headrace_router.settings import Settings

SERVICE = router_pb2.DESCRIPTOR.services_by_name["RouterService"].full_name


@asynccontextmanager
async def service(settings: Settings) -> AsyncIterator[serve.Service]:
    """The service with the real models. It answers at once, by rules, words and model; by meaning a few seconds later."""
    async with llm.model_client(load(LlmSettings)) as models, tasks.guard() as guard:
        neighbourhood = make_neighbourhood(settings)
        guard.start(_keep_embedder(neighbourhood), name="embedder")
        yield serve.Service((endpoint(settings, neighbourhood, models),), failed=guard.failed)


def make_neighbourhood(settings: Settings) -> Neighbourhood:
    """The packaged examples, comparing by words until an embedder is given."""
    return Neighbourhood(examples.load(), timeout_s=settings.embed_timeout_s, slots=settings.embed_slots)


def endpoint(settings: Settings, neighbourhood: Neighbourhood, models: Models) -> serve.Endpoint:
    """RouterService over a neighbourhood and any models."""
    asker = Asker(models, timeout_s=settings.model_timeout_s, slots=settings.model_slots)
    router = Router(neighbourhood, asker, clear_margin=settings.margin)
    return serve.Endpoint(SERVICE, RouterServicer(router), router_pb2_grpc.add_RouterServiceServicer_to_server)


async def _keep_embedder(neighbourhood: Neighbourhood) -> None:
    """Load the embedder, learn the examples, and hold it open until cancelled. A missing wheel ends the process."""
    async with embeddings.open_embedder() as embedder:
        await neighbourhood.learn(embedder)
        await asyncio.Event().wait()
