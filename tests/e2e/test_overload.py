"""The whole way from callers in several processes over the gate to a provider that enforces its quota by the second.

`python -m tests.load.quota` shows more, and measures; here only what no busy machine can undo is asserted.
"""

from tests.load import clients, overload, stage
from tests.load.figures import figures

SECONDS, DEADLINE_S = 20.0, 10.0


def test_under_ten_times_too_much_demand_the_quota_is_used_and_the_provider_refuses_almost_nobody() -> None:
    plan = overload.plan(
        overload.CASES["per second"], variant=clients.OURS, seconds=SECONDS, deadline_s=DEADLINE_S, shares=(0.5, 0.5)
    )
    with stage.running() as running:
        run = running.run(plan)
    seen = figures(run)
    assert seen.refused_share < 0.03
    assert seen.used > 0.8
    # Whoever was not let through was told: nobody was forgotten, and nobody's process hangs.
    assert seen.outcomes.keys() <= {"useful", "refused", "late", "cut"}
    assert seen.outcomes["refused"] > 2 * seen.useful
    assert seen.useful > 4 * seen.outcomes.get("late", 0)
