"""Runs a blueprint one node after the other, tools and models given by the test: what the engine has to agree with."""

from collections.abc import Callable, Mapping
from typing import Any

from headrace_blueprint import expressions, plan, references, validation

Json = Any
Call = Callable[[str, Mapping[str, Json]], Json]


def outputs(document: Json, *, inputs: Mapping[str, Json], tools: Mapping[str, Json], call: Call) -> Mapping[str, Json]:
    """Each node's output by id. `call` makes the tools' results; a compose node's output is its prompt."""
    compiled = plan.compile_plan(validation.parse(document, tools=tools))
    scope: dict[str, Json] = {"inputs": dict(inputs), "nodes": {}}
    skipped: set[str] = set()
    for name in compiled.order:
        node = compiled.nodes[name]
        if node.kind == "branch":
            first = next((at for at, case in enumerate(node.cases) if _cel(case.when, scope)), None)
            ways = [case.then for case in node.cases] + [node.else_]
            taken = ways[len(node.cases) if first is None else first]
            skipped |= {one for way in ways for one in way} - set(taken)
        output = None if name in skipped else _output(node, scope, call)
        scope["nodes"][name] = {"output": output}
    return {name: one["output"] for name, one in scope["nodes"].items()}


def _output(node: Any, scope: Mapping[str, Json], call: Call) -> Json:
    match node.kind:
        case "data":
            return call(node.tool, references.resolve(node.args, scope))
        case "compute":
            return _cel(node.expr, scope)
        case "compose":
            return references.resolve(node.prompt, scope)
        case "map":
            items = references.resolve(node.over, scope)
            assert len(items) <= node.max
            return [_output(node.node, {**scope, node.as_: item}, call) for item in items]
        case _:
            return None


def _cel(source: str, scope: Mapping[str, Json]) -> Json:
    return expressions.evaluate(expressions.compile_expression(source), scope)
