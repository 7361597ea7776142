"""The supervisor in the background: what `headrace up --detach` starts. Its output is logs/supervisor.log."""

import argparse
import asyncio
import sys
from pathlib import Path

from headrace_cli import progress
from headrace_cli.errors import CliError
from headrace_cli.supervisor import launch, models, signals
from headrace_cli.supervisor.state import ScaleRecord, State, StateDir


def main() -> int:
    """Run until SIGTERM; 1 when it could not be started or kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--executors", type=int, required=True)
    parser.add_argument("--executors-max", type=int)
    parser.add_argument("--models", type=Path)
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--simulated-rpm", type=float)
    parser.add_argument("--tools", type=Path)
    chosen = parser.parse_args()
    registry = models.LOCAL
    if chosen.simulated_rpm is not None:
        registry = models.simulated(chosen.simulated_rpm)
    elif chosen.models is not None:
        registry = models.Source(local=False, names=tuple(chosen.model), text=chosen.models.read_text())
    wish = launch.Wish(chosen.port, chosen.executors, registry, chosen.executors_max, chosen.tools)
    try:
        asyncio.run(_run(chosen.home, wish))
    except CliError as error:
        print(f"{error}\n{error.hint}".strip(), file=sys.stderr)
        return error.exit_code
    return 0


async def _run(home: Path, wish: launch.Wish) -> None:
    scale: ScaleRecord | None = None

    def changed(now: State) -> None:
        nonlocal scale
        for line in progress.scale_lines(scale, now.scale):
            print(line, flush=True)
        scale = now.scale

    await launch.run(StateDir(home), wish, signals.install(), on_change=changed)


if __name__ == "__main__":
    sys.exit(main())
