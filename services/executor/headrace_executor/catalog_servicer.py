"""CatalogService: what a run may use."""

from typing import Any

import orjson
from headrace.executor.v1 import executor_pb2 as pb
from headrace.executor.v1 import executor_pb2_grpc as pb_grpc
from headrace_blueprint import tools
from headrace_llm.client import ModelClient, ModelSignals
from headrace_llm.registry import ModelEntry
from headrace_tools.ports import Toolbox

from headrace_executor import codec

Context = Any


class CatalogServicer(pb_grpc.CatalogServiceServicer):
    """headrace.executor.v1.CatalogService."""

    def __init__(self, models: ModelClient, toolbox: Toolbox) -> None:
        self._models = models
        self._toolbox = toolbox

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:  # noqa: N802
        """Answer with the registry and each model's gate now."""
        registry = self._models.registry
        signals = {one.model: one for one in self._models.signals()}
        models = [_model(entry, signals.get(name, ModelSignals(name))) for name, entry in registry.models.items()]
        return pb.ListModelsResponse(models=models, default_model=registry.default)

    async def ListTools(self, request: pb.ListToolsRequest, context: Context) -> pb.ListToolsResponse:  # noqa: N802
        """Answer with the tools that data nodes may call: the built-in ones, then the tenant's by name."""
        codec.tenant(request.tenant_id)
        connected = self._toolbox.tools(request.tenant_id)
        return pb.ListToolsResponse(
            tools=[
                *(_tool(one, "builtin", "") for one in tools.TOOLS.values()),
                *(_tool(one.tool, one.kind, one.connector) for _, one in sorted(connected.items())),
            ]
        )


def _tool(tool: tools.Tool, kind: str, connector: str) -> pb.Tool:
    return pb.Tool(
        name=tool.name,
        description=tool.description,
        input_schema=orjson.dumps(dict(tool.input_schema)),
        kind=kind,
        connector=connector,
    )


def _model(entry: ModelEntry, signals: ModelSignals) -> pb.Model:
    model = pb.Model(
        id=entry.id,
        provider=entry.provider,
        context_tokens=entry.context_tokens,
        requests_per_minute=int(entry.limits.rpm or 0),
        tokens_per_minute=int(entry.limits.tpm or 0),
        fallbacks=entry.fallbacks,
        state=codec.signals(signals),
    )
    if entry.price is not None:
        model.prompt_usd_per_million = entry.price.prompt_usd_per_million
        model.completion_usd_per_million = entry.price.completion_usd_per_million
    return model
