"""What a run's searches found, wherever they stand: in its own graph, in maps, in flows, among a model's calls. Pure."""

from collections.abc import Iterator, Mapping

from headrace_blueprint.model import Compose, Data, Flow, Map, Node, Retrieve
from headrace_blueprint.plan import Plan

from headrace_executor.engine.frames import finished
from headrace_executor.model import Json, StepRecord


def found(
    plan: Plan,
    outputs: Mapping[str, Json],
    *,
    flows: Mapping[str, Plan],
    steps: Mapping[str, StepRecord],
    prefix: str = "",
) -> Iterator[Json]:
    """The outputs of all searches in the order of the plan; those that were skipped or failed are left out."""
    for name, node in plan.nodes.items():
        path, output = f"{prefix}{name}", outputs.get(name)
        if isinstance(node, Map):
            for index, item in enumerate(output or ()):
                yield from _of(node.node, f"{path}[{index}]", item, flows, steps)
        else:
            yield from _of(node, path, output, flows, steps)


def is_search(node: Node) -> bool:
    """Whether its output is that of `passages.output`."""
    return isinstance(node, Retrieve) or (isinstance(node, Data) and node.tool == "search")


def of_a_model(content: str, output: Json) -> Json:
    """The record of a search that a model called: what it was shown, and what it may cite."""
    return {"content": content, "chunks": output["chunks"]} if "chunks" in output else content


def content(recorded: Json) -> str:
    """What a model was shown as the result of a call that is recorded."""
    return str(recorded["content"] if isinstance(recorded, Mapping) else recorded)


def _of_calls(path: str, steps: Mapping[str, StepRecord]) -> Iterator[Json]:
    """What a model's own searches found (`node:PATH#ROUND.INDEX`), in the order in which it wished them."""
    begin = f"node:{path}#"
    places = (tuple(map(int, name.removeprefix(begin).split("."))) for name in steps if name.startswith(begin))
    for place in sorted(one for one in places if len(one) == len(("ROUND", "INDEX"))):
        output = steps[begin + ".".join(map(str, place))].output
        if isinstance(output, Mapping):
            yield output


def _of(node: Node, path: str, output: Json, flows: Mapping[str, Plan], steps: Mapping[str, StepRecord]) -> Iterator[Json]:
    if isinstance(node, Flow) and node.workflow_id in flows:
        inner = flows[node.workflow_id]
        outputs = finished(inner, steps, f"{path}/")
        yield from found(inner, outputs, flows=flows, steps=steps, prefix=f"{path}/")
    elif isinstance(node, Compose) and "search" in (node.tools or ()) and output is not None:
        yield from _of_calls(path, steps)
    elif is_search(node) and output is not None:
        yield output
