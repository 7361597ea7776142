"""Blueprints for tests: one of every kind, and random valid graphs."""

from collections.abc import Mapping
from typing import Any

from headrace_blueprint.tools import TOOLS
from hypothesis import strategies as st

INPUTS: Mapping[str, Any] = {"type": "object", "properties": {"message": {"type": "string"}, "n": {"type": "integer"}}}


def blueprint(*nodes: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """A document of these nodes; its output is the last one's."""
    output = f"${{nodes.{nodes[-1]['id']}.output}}" if nodes else "${inputs.message}"
    return {"version": 1, "name": "test", "inputs": INPUTS, "nodes": list(nodes), "output": output, **fields}


def compose(name: str, prompt: str = "Say hello.", **fields: Any) -> dict[str, Any]:
    return {"id": name, "kind": "compose", "prompt": prompt, **fields}


EVERY_KIND = blueprint(
    {"id": "found", "kind": "retrieve", "query": "${inputs.message}", "mode": "naive", "top_k": 3},
    {"id": "sum", "kind": "data", "tool": "calculator", "args": {"expression": "1 + ${inputs.n}"}, "timeout_s": 5},
    {"id": "size", "kind": "compute", "expr": "size(nodes.found.output.chunks) + inputs.n"},
    {"id": "way", "kind": "branch", "cases": [{"when": "nodes.size.output > 3", "then": ["each"]}], "else": ["saved"]},
    {
        "id": "each",
        "kind": "map",
        "over": "${nodes.found.output.chunks}",
        "as": "chunk",
        "node": {"id": "one", "kind": "compose", "prompt": "Summarise ${chunk.text}", "when": "size(chunk.text) > 3"},
    },
    {"id": "saved", "kind": "flow", "workflow_id": "w1", "inputs": {"a": "${nodes.size.output}"}},
    compose("answer", "${nodes.each.output} ${nodes.sum.output}", needs=["saved"], retry={"attempts": 2, "backoff_s": 0.5}),
    layout=[{"slot": "main", "title": "Main", "node": "answer"}],
)


@st.composite
def graphs(draw: st.DrawFn, max_nodes: int = 12) -> dict[str, Any]:
    """A valid blueprint: each node uses only earlier ones, in whatever way a kind can."""
    count = draw(st.integers(1, max_nodes))
    nodes: list[dict[str, Any]] = []
    for index in range(count):
        earlier = [node["id"] for node in nodes]
        used = draw(st.lists(st.sampled_from(earlier), max_size=3, unique=True)) if earlier else []
        nodes.append(draw(_node(f"n{index}", used)))
    return blueprint(*draw(st.permutations(nodes)))


@st.composite
def _node(draw: st.DrawFn, name: str, used: list[str]) -> dict[str, Any]:
    text = "ask ${inputs.message} " + " ".join(f"${{nodes.{one}.output}}" for one in used)
    sums = " + ".join(["inputs.n", *(f"size(nodes.{one}.output)" for one in used)])
    node: dict[str, Any] = draw(
        st.sampled_from(
            [
                {"kind": "compose", "prompt": text},
                {"kind": "retrieve", "query": text},
                {"kind": "compute", "expr": sums},
                {"kind": "data", "tool": draw(st.sampled_from(["calculator", "search"])), "args": {}},
                {"kind": "compose", "prompt": "hello", "needs": used, "when": f"{sums} > 0"},
            ]
        )
    )
    if node["kind"] == "data":
        node = {**node, "args": {TOOLS[node["tool"]].input_schema["required"][0]: text}}
    return {"id": name, **node}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
