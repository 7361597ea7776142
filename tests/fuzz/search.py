"""The part of `tests.fuzz.blueprint` that searches, in a process of its own: libFuzzer ends its process when it is done."""

import os
import random
import subprocess
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["headrace_blueprint"]):
    from tests.fuzz import trial

from tests.fuzz.mutation import mutated


class TooSlow(AssertionError):
    """An input took longer than any may."""


class Search:
    """Runs what libFuzzer brings, and keeps the slowest."""

    def __init__(self, slowest: Path) -> None:
        self._slowest = slowest
        self._cost_s = 0.0

    def one(self, data: bytes) -> None:
        """Try one input. Raises what a reader should not, and TooSlow."""
        cost = trial.cpu_s(data, rounds=1)
        if cost > self._cost_s * 1.1:
            # Instrumented code is slower, and the machine may have been busy: what counts is measured apart.
            self._cost_s = cost
            self._slowest.write_bytes(data)
            if cost > trial.MAX_CPU_S and measured(self._slowest) > trial.MAX_CPU_S:
                raise TooSlow(f"{cost * 1000:.0f} ms")
        trial.run(data)


def measured(file: Path) -> float:
    """Seconds that an input takes without instruments."""
    command = [sys.executable, "-m", "tests.fuzz.blueprint", "--measure", str(file)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout)


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """A document is changed as JSON, mostly; anything else as bytes."""
    rng = random.Random(seed)
    if data[:1] == trial.DOCUMENT and rng.random() < 0.8:
        changed = mutated(data[1:], rng)
        if changed is not None and len(changed) < max_size:
            return trial.DOCUMENT + changed
    changed_bytes: bytes = atheris.Mutate(data, max_size)
    return changed_bytes


if __name__ == "__main__":
    search = Search(Path(os.environ["HEADRACE_FUZZ_SLOWEST"]))
    atheris.Setup(sys.argv, search.one, custom_mutator=mutate)
    atheris.Fuzz()
