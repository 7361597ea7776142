"""What runs may use, and how much of it there is now."""

from fastapi import APIRouter

from headrace_edge.edge import Parts
from headrace_edge.middleware.authentication import Reader
from headrace_edge.model import Skill, Skills
from headrace_edge.quota.model import Models, Quota

router = APIRouter(tags=["catalog"])

MODES = (
    Skill(name="chat", kind="mode", description="Answers without documents.", input_schema=None),
    Skill(name="qa", kind="mode", description="Answers from the workspace's documents, with citations.", input_schema=None),
    Skill(name="build", kind="mode", description="Plans several steps as a blueprint and runs them.", input_schema=None),
    Skill(name="quiz", kind="mode", description="Makes questions with answers.", input_schema=None),
)


@router.get("/models", response_model=Models, summary="List models")
async def list_models(edge: Parts, caller: Reader) -> Models:
    """The registry's models, with prices, limits and the state of their gates."""
    return await edge.catalog.models()


@router.get("/skills", response_model=Skills, summary="List skills")
async def list_skills(edge: Parts, caller: Reader) -> Skills:
    """The modes of a conversation and the tools that runs may call."""
    return Skills(skills=[*MODES, *await edge.catalog.tools(caller.tenant)])


@router.get("/api/quota", response_model=Quota, summary="Read the quota")
async def get_quota(edge: Parts, caller: Reader) -> Quota:
    """The queue per priority, each model's gate, what runs of each kind take, and what was promised, now."""
    return edge.admission.told(await edge.runs.signals())
