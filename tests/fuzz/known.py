"""What the costliest blueprints and inputs that we know take, in CPU time: `python -m tests.fuzz.known`.

It fails when one takes more than 100 ms on this machine, which should be idle.
"""

import sys
import time
from collections.abc import Callable
from functools import partial

from headrace_blueprint import fit

from tests.fuzz import hostile, hostile_inputs, trial

ROUNDS = 3
SHOWN = 12


def main() -> int:
    """Print the worst and return the exit code: whether one is past the limit."""
    documents = {name: trial.cpu_s(trial.DOCUMENT + data, rounds=ROUNDS) for name, data in hostile.documents().items()}
    inputs = {name: _cpu_s(partial(fit.faults, *pair)) for name, pair in hostile_inputs.PAIRS.items()}
    for kind, costs in {"documents": documents, "inputs": inputs}.items():
        print(f"the costliest of {len(costs)} known {kind}, ms of CPU time (limit {trial.MAX_CPU_S * 1000:.0f}):")
        for name in sorted(costs, key=lambda name: -costs[name])[:SHOWN]:
            print(f"  {costs[name] * 1000:8.1f}  {name}")
    return int(max(*documents.values(), *inputs.values()) > trial.MAX_CPU_S)


def _cpu_s(read: Callable[[], object]) -> float:
    least = float("inf")
    for _ in range(ROUNDS):
        started = time.thread_time()
        read()
        least = min(least, time.thread_time() - started)
    return least


if __name__ == "__main__":
    sys.exit(main())
