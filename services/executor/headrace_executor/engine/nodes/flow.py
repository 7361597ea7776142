"""Nodes that run a saved workflow: its nodes are steps of their own, its output is the node's, its layout is ignored."""

from headrace_blueprint.model import Flow

from headrace_executor.engine import requests
from headrace_executor.engine.nodes.attempt import Attempt, Result


async def run(attempt: Attempt, node: Flow) -> Result:
    """What the workflow's `output` stands for, on inputs that fit its schema. Raises `RunFailed`."""
    assert attempt.inside is not None
    plan = attempt.inside.workflow(node.workflow_id)
    inputs = requests.inputs(plan, attempt.resolved(node.inputs))
    return Result(await attempt.inside.flow(plan, inputs))
