"""Shows what becomes of a quota under load: `python -m tests.load.quota SHOW`. Ends with 1 when something did not hold."""

import argparse
import signal
import sys

from tests.load import ablation, clients, drop, faults, overload, stage, turns

FAULTS = {"kill": faults.kill, "restart": faults.restart, "loss": faults.loss}
DROPS = {"drop": drop.drop, "too-high": drop.too_high, "too-low": drop.too_low}


def main() -> int:
    """Run the show that is asked for."""
    chosen = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # which ends what was started
    with stage.running() as running:
        return 0 if _run(running, chosen) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.load.quota", description=__doc__)
    shows = parser.add_subparsers(dest="show", required=True)
    one = shows.add_parser("overload", help="ten times too much demand, by each way of enforcing")
    one.add_argument("--case", action="append", choices=[*overload.CASES], help="all by default")
    one.add_argument("--beside", action="store_true", help="LiteLLM's ways in the same run")
    _lengths(one, seconds=180)
    _lengths(shows.add_parser("ablation", help="the gate with parts of it taken away"), seconds=180)
    shows.add_parser("drop", help="a quota that is not what it was said to be").add_argument(
        "--case", action="append", choices=[*DROPS], help="all by default"
    )
    _lengths(shows.add_parser("classes", help="people before background, which gets its minimum"), seconds=60)
    _lengths(shows.add_parser("tenants", help="one that offers 20 times more"), seconds=60)
    shows.add_parser("faults", help="processes and Redis that go away").add_argument(
        "--case", action="append", choices=[*FAULTS], help="all by default"
    )
    return parser


def _lengths(show: argparse.ArgumentParser, *, seconds: float) -> None:
    show.add_argument("--seconds", type=float, default=seconds, help=f"of each run ({seconds:.0f})")
    show.add_argument("--deadline", type=float, default=60.0, help="of each call (60)")


def _run(running: stage.Stage, chosen: argparse.Namespace) -> bool:
    if chosen.show == "overload":
        variants = (clients.OURS, clients.ROUTER, clients.RETRIES) if chosen.beside else (clients.OURS,)
        cases = chosen.case or [*overload.CASES]
        return overload.show(running, cases, variants, seconds=chosen.seconds, deadline_s=chosen.deadline)
    if chosen.show == "ablation":
        return ablation.show(running, seconds=chosen.seconds, deadline_s=chosen.deadline)
    if chosen.show in ("classes", "tenants"):
        show = turns.classes if chosen.show == "classes" else turns.tenants
        return show(running, seconds=chosen.seconds)
    cases_of = DROPS if chosen.show == "drop" else FAULTS
    seen = [cases_of[name](running) for name in chosen.case or cases_of]
    return all(seen)


if __name__ == "__main__":
    sys.exit(main())
