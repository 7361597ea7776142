"""`GET /v1/models`: what `model` of a chat completion may name."""

from fastapi import APIRouter
from headrace_runtime import errors

from headrace_edge.edge import Edge, Parts
from headrace_edge.middleware.authentication import Reader
from headrace_edge.model import Answer
from headrace_edge.openai.bodies import PIPELINE
from headrace_edge.routes.openai_chat import ANSWERS

router = APIRouter(tags=["openai"], responses={"default": ANSWERS["default"]})


class OpenAiModel(Answer):
    """One model."""

    id: str
    object: str = "model"
    created: int = 0
    """Unknown."""
    owned_by: str


class OpenAiModels(Answer):
    """All models."""

    object: str = "list"
    data: list[OpenAiModel]


@router.get("/v1/models", response_model=OpenAiModels, summary="List models, as OpenAI does")
async def list_openai_models(edge: Parts, caller: Reader) -> OpenAiModels:
    """The registry's models, and `headrace` for the whole pipeline."""
    return OpenAiModels(data=await _models(edge))


@router.get("/v1/models/{model_id:path}", response_model=OpenAiModel, summary="Read a model, as OpenAI does")
async def get_openai_model(model_id: str, edge: Parts, caller: Reader) -> OpenAiModel:
    """One model of the list."""
    for model in await _models(edge):
        if model.id == model_id:
            return model
    raise errors.NotFound(f"no model {model_id[:128]!r}", reason="UNKNOWN_MODEL")


async def _models(edge: Edge) -> list[OpenAiModel]:
    known = [one for one in (await edge.catalog.models()).models if one.id != PIPELINE]
    return [OpenAiModel(id=PIPELINE, owned_by=PIPELINE), *(OpenAiModel(id=m.id, owned_by=m.provider) for m in known)]
