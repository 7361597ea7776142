"""Looks for blueprints that make a reader fail or wait: `python -m tests.fuzz.blueprint -max_total_time=60`.

First the costliest that we know are measured (`tests.fuzz.known`), then atheris looks for others; its options are
libFuzzer's, such as `-atheris_runs=10000`. It fails when a reader raises what it does not promise to raise, or when a
document takes more than 100 ms of CPU time on this machine, which should be idle. What it finds it leaves in `.fuzz`.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import orjson

from tests.fuzz import hostile, known, trial

ROOT = Path(__file__).parents[2]
FOUND = ROOT / ".fuzz"
SEEDS = ("tests/data/blueprints/v1/*.json", "services/planner/headrace_planner/blueprints/*.json", "examples/**/*.json")
MAX_SEED_BYTES = 4_000
DEFAULT = ("-max_total_time=60",)
LIBFUZZER = (
    "-verbosity=0",
    "-max_len=65536",
    "-timeout=20",
    "-rss_limit_mb=1500",
    "-print_final_stats=1",
    f"-artifact_prefix={FOUND}/",
)


def main(arguments: list[str]) -> int:
    """Measure, then search. Returns the exit code."""
    if arguments[:1] == ["--measure"]:
        print(trial.cpu_s(Path(arguments[1]).read_bytes(), rounds=known.ROUNDS))
        return 0
    if known.main():
        return 1
    FOUND.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="headrace-fuzz-") as folder:
        corpus, slowest = Path(folder) / "corpus", Path(folder) / "slowest"
        corpus.mkdir()
        for number, seed in enumerate(seeds()):
            (corpus / str(number)).write_bytes(seed)
        command = [sys.executable, "-m", "tests.fuzz.search", str(corpus), *LIBFUZZER, *(arguments or DEFAULT)]
        done = subprocess.run(command, check=False, cwd=ROOT, env={**os.environ, "HEADRACE_FUZZ_SLOWEST": str(slowest)})
        if slowest.exists():
            data = slowest.read_bytes()
            print(f"slowest that was found: {trial.cpu_s(data, rounds=known.ROUNDS) * 1000:.1f} ms, {len(data)} bytes")
            (FOUND / "slowest").write_bytes(data)
    return done.returncode


def seeds() -> Iterator[bytes]:
    """Inputs to begin with."""
    for pattern in SEEDS:
        for file in sorted(ROOT.glob(pattern)):
            yield trial.DOCUMENT + orjson.dumps(orjson.loads(file.read_bytes()))
    for data in hostile.documents().values():
        if len(data) <= MAX_SEED_BYTES:
            yield trial.DOCUMENT + data
    for source in ("${inputs.n}", "a ${nodes.a.output[0]} $${b} ${item}", "${", "${ inputs.o.k }"):
        yield trial.TEXT + source.encode()
    for source in (
        "inputs.n > 1 ? 'a' : \"b\"",
        "inputs.l.map(x, x * 2)",
        "math.floor(1.5e3) + 0x1F",
        "r'\\' + '''x'''",
        "-1-1",
    ):
        yield trial.EXPRESSION + source.encode()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
