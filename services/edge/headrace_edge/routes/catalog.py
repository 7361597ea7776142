"""What runs may use, and how much of it there is now."""

from fastapi import APIRouter

from headrace_edge.edge import Parts
from headrace_edge.middleware.authentication import Reader
from headrace_edge.model import Skill, Skills
from headrace_edge.quota.model import Models, Quota
from headrace_edge.workflows.model import WorkflowEntry

router = APIRouter(tags=["catalog"])

MAX_WORKFLOWS = 200
"""Saved workflows that are listed among the skills; GET /api/workflows has all."""
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


@router.get("/skills", response_model=Skills, response_model_exclude_unset=True, summary="List skills")
async def list_skills(edge: Parts, caller: Reader) -> Skills:
    """The modes of a conversation, the tools that runs may call, and the first 200 saved workflows."""
    tools = await edge.catalog.tools(caller.tenant)
    saved = await edge.workflows.list(caller.tenant, cursor="", limit=MAX_WORKFLOWS)
    return Skills(skills=[*MODES, *tools, *map(_skill, saved.items)])


def _skill(saved: WorkflowEntry) -> Skill:
    return Skill(
        name=saved.workflow_id, kind="workflow", description=saved.description or saved.name, input_schema=saved.inputs
    )


@router.get("/api/quota", response_model=Quota, summary="Read the quota")
async def get_quota(edge: Parts, caller: Reader) -> Quota:
    """The queue per priority, each model's gate, what runs of each kind take, and what was promised, now."""
    return edge.admission.told(await edge.runs.signals())
