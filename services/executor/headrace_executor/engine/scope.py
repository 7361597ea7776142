"""What the nodes of one run can see: its inputs and the outputs so far, with their sizes. No I/O."""

from collections.abc import Iterable, Mapping

import orjson
from headrace_blueprint.expressions import Expression

from headrace_executor.engine.limits import Limits
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode, Json


class Scope:
    """Inputs and outputs. A node sees only what it needs, so nothing depends on what else has finished by then."""

    def __init__(self, inputs: Mapping[str, Json], outputs: Mapping[str, Json], limits: Limits) -> None:
        self.inputs = inputs
        self.outputs: dict[str, Json] = {}
        self._limits = limits
        self._inputs_bytes = json_size(inputs)
        self._bytes: dict[str, int] = {}
        self._total = 0
        for node, output in outputs.items():
            self.add(node, output, self.check(output))

    def seen(self, needs: Iterable[str]) -> Mapping[str, Json]:
        """The scope of references and expressions: {"inputs": …, "nodes": {id: {"output": …}}}."""
        return {"inputs": self.inputs, "nodes": {need: {"output": self.outputs[need]} for need in needs}}

    def size(self, expression: Expression) -> int:
        """JSON bytes of what an expression sees."""
        inputs = self._inputs_bytes if "inputs" in expression.names else 0
        return inputs + sum(self._bytes.get(need, 0) for need in expression.needs)

    def check(self, output: Json) -> int:
        """The JSON bytes of an output. Raises `RunFailed` when it is no JSON or too large for a node or for the run."""
        try:
            size = json_size(output)
        except TypeError as error:
            raise RunFailed(FailureCode.INVALID_BLUEPRINT, f"the output is not JSON: {error}") from error
        if size > self._limits.max_output_bytes:
            text = f"the output has {size} bytes, {self._limits.max_output_bytes} are allowed; ask for less"
            raise RunFailed(FailureCode.INVALID_BLUEPRINT, text)
        if self._total + size > self._limits.max_run_bytes:
            text = (
                f"the run's outputs have more than {self._limits.max_run_bytes} bytes together; use fewer or smaller nodes"
            )
            raise RunFailed(FailureCode.INVALID_BLUEPRINT, text)
        return size

    def add(self, node: str, output: Json, size: int) -> None:
        """Make a finished node's output visible."""
        self.outputs[node] = output
        self._bytes[node] = size
        self._total += size


def json_size(value: Json) -> int:
    """Bytes of a value's JSON. Raises TypeError when it is no JSON."""
    return len(orjson.dumps(value))
