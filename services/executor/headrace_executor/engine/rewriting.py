"""How a text is written anew by one sentence: its model sees its prompt, what it wrote, and the sentence. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import orjson
from headrace_blueprint import references
from headrace_blueprint.model import Compose, Compute, Flow, Map
from headrace_blueprint.plan import Plan
from headrace_llm.client import Message

from headrace_executor.model import Json

TEXT_ONLY = "Answer with the whole new text only."
JSON_ONLY = "Answer with the whole new JSON only."


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A node's earlier output and the sentence that changes it."""

    earlier: Json
    """None when it has none."""
    instruction: str

    def of_item(self, index: int) -> "Rewrite":
        """The same for one item, from 0, of a map."""
        known = isinstance(self.earlier, list) and index < len(self.earlier)
        return replace(self, earlier=self.earlier[index] if known else None)


def inside(rewrite: Rewrite | None, plan: Plan) -> Mapping[str, Rewrite]:
    """Which nodes of a flow's plan write its output anew, when the flow's output is to be.

    The node that the output stands for has its text; one behind it, or whose output is only a part of the flow's, has none.
    """
    written = references.read(plan.blueprint.output)
    if rewrite is None or written.node is None:
        return {}
    is_whole = written.steps == (written.node, "output")
    rewrites: dict[str, Rewrite] = {}
    seen: set[str] = set()
    pending = [(written.node, rewrite if is_whole else replace(rewrite, earlier=None))]
    while pending:
        name, one = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        node = plan.nodes[name]
        inner = node.node if isinstance(node, Map) else node
        if isinstance(inner, Compose | Flow):
            rewrites[name] = one
        elif isinstance(node, Compute):
            pending += [(need, replace(one, earlier=None)) for need in sorted(plan.needs[name])]
    return rewrites


def messages(prompt: str, rewrite: Rewrite | None) -> tuple[Message, ...]:
    """What a compose node's model is asked."""
    if rewrite is None:
        return (Message("user", prompt),)
    if rewrite.earlier is None:
        return (Message("user", f"{prompt}\n\n{rewrite.instruction}"),)
    is_text = isinstance(rewrite.earlier, str)
    earlier = rewrite.earlier if is_text else orjson.dumps(rewrite.earlier).decode()
    asked = f"{rewrite.instruction}\n\n{TEXT_ONLY if is_text else JSON_ONLY}"
    return (Message("user", prompt), Message("assistant", earlier), Message("user", asked))
