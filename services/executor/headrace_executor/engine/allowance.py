"""What is left of one run's limits: time, nodes, bytes of outputs, retries. No I/O; the clock is the event loop's."""

import asyncio
from collections.abc import Mapping

from headrace_executor.engine.failures import RunOver, late
from headrace_executor.engine.limits import Limits
from headrace_executor.engine.metrics import RETRIES_REFUSED
from headrace_executor.engine.scope import json_size
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode, Json


class Allowance:
    """One owner's count for a run, what earlier owners recorded included (but for their retries)."""

    def __init__(self, limits: Limits, *, left_s: float, recorded: Mapping[str, Json]) -> None:
        """`recorded` are the outputs of finished nodes by their paths. Raises `RunOver` when no time is left."""
        if left_s <= 0:
            raise late()
        self.until = asyncio.get_running_loop().time() + left_s
        """The run's deadline on the event loop's clock."""
        self._limits = limits
        self._begun = set(recorded)
        self._bytes = sum(map(json_size, recorded.values()))
        self._retries = limits.retry_budget

    def begin(self, path: str) -> None:
        """Count a node that begins, each path once. Raises `RunOver`."""
        self._begun.add(path)
        self._check(len(self._begun))

    def room_for(self, nodes: int) -> None:
        """Raise `RunOver` now rather than in the middle when so many further nodes are too many."""
        self._check(len(self._begun) + nodes)

    def _check(self, nodes: int) -> None:
        most = self._limits.max_run_nodes
        if nodes > most:
            text = (
                f"the run has more than {most} nodes, items of maps and nodes of flows included (max_run_nodes); "
                "loop over less, or make two runs of it."
            )
            raise RunOver(FailureCode.INVALID_BLUEPRINT, text)

    def size(self, output: Json) -> int:
        """The JSON bytes of an output that may be kept.

        Raises `RunFailed` when it is no JSON or too large for a node, and `RunOver` when it is too large for the run.
        """
        try:
            size = json_size(output)
        except TypeError as error:
            raise RunFailed(FailureCode.INVALID_BLUEPRINT, f"the output is not JSON: {error}.") from error
        most, whole = self._limits.max_output_bytes, self._limits.max_run_bytes
        if size > most:
            text = f"the output has {size} bytes, {most} are allowed (max_output_bytes); ask for less."
            raise RunFailed(FailureCode.INVALID_BLUEPRINT, text)
        if self._bytes + size > whole:
            text = f"the run's outputs have more than {whole} bytes together (max_run_bytes); use fewer or smaller nodes."
            raise RunOver(FailureCode.INVALID_BLUEPRINT, text)
        return size

    def keep(self, size: int) -> None:
        """Count an output that is kept."""
        self._bytes += size

    def retry(self) -> bool:
        """Take one retry from the run's budget; False when it is spent."""
        if self._retries <= 0:
            RETRIES_REFUSED.inc()
            return False
        self._retries -= 1
        return True
