"""Which inputs a node reads. Pure."""

import re
from collections.abc import Mapping

from headrace_blueprint import references
from headrace_blueprint.expressions import compile_expression
from headrace_blueprint.model import Branch, Compute, Map, NodeBase
from headrace_blueprint.references import Json

_WHOLE = re.compile(r"""\binputs\b(?!\s*(?:\.|\[\s*["']))""")
"""`inputs` in CEL without the name of one."""


def depends_on_inputs(node: NodeBase, changed: frozenset[str]) -> bool:
    """Whether a node's result may differ when these inputs do."""
    return any(name is None or name in changed for name in _inputs(node)) if changed else False


def differing(before: Mapping[str, Json], after: Mapping[str, Json]) -> frozenset[str]:
    """The inputs that have another value, or that only one of both has."""
    missing = object()
    return frozenset(name for name in before.keys() | after.keys() if before.get(name, missing) != after.get(name, missing))


def _inputs(node: NodeBase) -> set[str | None]:
    """Names of inputs, and None for all of them."""
    cel = {"when", "expr", "cases", "schema", "node"}
    values = node.model_dump(by_alias=True, exclude_unset=True, exclude={"id", "kind", "needs", "as_"})
    texts = {name: value for name, value in values.items() if name not in cel}
    found: set[str | None] = {
        str(one.steps[0]) if one.steps else None for one in references.references(texts) if one.root == "inputs"
    }
    sources = [node.when] if node.when else []
    if isinstance(node, Compute):
        sources.append(node.expr)
    if isinstance(node, Branch):
        sources += [case.when for case in node.cases]
    for source in sources:
        found |= compile_expression(source).inputs
        if _WHOLE.search(source):
            found.add(None)
    return found | _inputs(node.node) if isinstance(node, Map) else found
