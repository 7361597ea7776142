"""Which nodes inside a flow write its output anew."""

from typing import Any

import pytest
from headrace_executor.engine import requests, rewriting
from headrace_executor.engine.rewriting import Rewrite

NODES: list[Any] = [
    {"id": "text", "kind": "compose", "prompt": "write"},
    {"id": "other", "kind": "compose", "prompt": "write"},
    {"id": "each", "kind": "map", "over": "${inputs.xs}", "node": {"id": "one", "kind": "compose", "prompt": "${item}"}},
    {"id": "rows", "kind": "map", "over": "${inputs.xs}", "node": {"id": "row", "kind": "compute", "expr": "item"}},
    {"id": "deep", "kind": "flow", "workflow_id": "w", "inputs": {}},
    {"id": "both", "kind": "compute", "expr": "[nodes.text.output, nodes.again.output]"},
    {"id": "again", "kind": "compute", "expr": "[nodes.text.output, nodes.deep.output, nodes.rows.output]"},
]
WHOLE, TOLD = Rewrite({"all": "of it"}, "shorter"), Rewrite(None, "shorter")


@pytest.mark.parametrize(
    ("output", "rewrites"),
    [
        ("nodes.text.output", {"text": WHOLE}),
        ("nodes.text.output.title", {"text": TOLD}),
        ("nodes.each.output", {"each": WHOLE}),
        ("nodes.each.output[0]", {"each": TOLD}),
        ("nodes.deep.output", {"deep": WHOLE}),
        ("nodes.rows.output", {}),
        ("nodes.both.output", {"text": TOLD, "deep": TOLD}),
    ],
)
def test_those_that_the_output_stands_for_or_is_made_of(output: str, rewrites: dict[str, Rewrite]) -> None:
    schema = {"additionalProperties": True}
    plan = requests.compiled({"version": 1, "name": "w", "inputs": schema, "nodes": NODES, "output": f"${{{output}}}"})
    assert rewriting.inside(WHOLE, plan) == rewrites
    assert rewriting.inside(None, plan) == {}
