"""What the nodes of one blueprint can see: its inputs and the outputs so far, with their sizes. No I/O."""

from collections.abc import Iterable, Mapping

import orjson
from headrace_blueprint.expressions import Expression

from headrace_executor.model import Json


class Scope:
    """Inputs and outputs. A node sees only what it needs, so nothing depends on what else has finished by then."""

    def __init__(self, inputs: Mapping[str, Json], outputs: Mapping[str, Json]) -> None:
        self.inputs = inputs
        self.outputs: dict[str, Json] = {}
        self._inputs_bytes = json_size(inputs)
        self._bytes: dict[str, int] = {}
        self._names: Mapping[str, Json] = {}
        self._names_bytes: dict[str, int] = {}
        for node, output in outputs.items():
            self.add(node, output, json_size(output))

    def seen(self, needs: Iterable[str]) -> Mapping[str, Json]:
        """The scope of references and expressions: {"inputs": …, "nodes": {id: {"output": …}}}, and a map's item."""
        nodes = {need: {"output": self.outputs[need]} for need in needs}
        return {"inputs": self.inputs, "nodes": nodes, **self._names}

    def size(self, expression: Expression) -> int:
        """JSON bytes of what an expression sees."""
        inputs = self._inputs_bytes if "inputs" in expression.names else 0
        items = sum(size for name, size in self._names_bytes.items() if name in expression.names)
        return inputs + items + sum(self._bytes.get(need, 0) for need in expression.needs)

    def add(self, node: str, output: Json, size: int) -> None:
        """Make a finished node's output, of so many JSON bytes, visible."""
        self.outputs[node] = output
        self._bytes[node] = size

    def inside(self, name: str, item: Json) -> "Scope":
        """What the node inside a map sees for one item: the same, and the item under its name."""
        inner = object.__new__(Scope)
        inner.inputs, inner.outputs = self.inputs, self.outputs
        inner._inputs_bytes, inner._bytes = self._inputs_bytes, self._bytes
        inner._names, inner._names_bytes = {name: item}, {name: json_size(item)}
        return inner


def json_size(value: Json) -> int:
    """Bytes of a value's JSON. Raises TypeError when it is no JSON."""
    return len(orjson.dumps(value))
