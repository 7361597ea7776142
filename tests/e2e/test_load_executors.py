"""The load shows through real executor processes, so that they stay able to run; `python -m tests.load.quota` measures.

Two executors on a real Postgres and Valkey, one of which is killed under way; only what no busy machine undoes is asserted.
"""

from collections import Counter

from tests.load import clients, stage
from tests.load.traffic import Flow

RPM, SECONDS, DEADLINE_S = 600.0, 6.0, 6.0
KILLED_AT_S = 3.0
QUICK = {"latency": {"first_token_s": 0.5, "sigma": 0}, "rpm": RPM}


def test_what_callers_of_executors_saw_agrees_with_the_providers_books_though_one_is_killed() -> None:
    flow = Flow("load", 3 * RPM / 60, deadline_s=DEADLINE_S)
    plan = stage.Plan(
        clients.OURS,
        (flow,),
        SECONDS,
        QUICK,
        {"rpm": RPM},
        shares=(0.5, 0.5),
        drain=True,
        events=[(KILLED_AT_S, lambda on: on.kill(0))],
    )
    with stage.running("executors") as running:
        run = running.run(plan)
    outcomes = Counter(one.outcome for one in run.records)
    books = run.final["total"]

    assert run.stuck == 0
    assert outcomes["useful"] > 0
    assert outcomes["refused"] > 0
    # Those that the killed executor had are told so at once; nobody waits past the deadline, nobody is forgotten.
    assert outcomes.keys() <= {"useful", "refused", "late", "failed"}
    assert all("UNAVAILABLE" in one.detail or "Unavailable" in one.detail for one in run.records if one.outcome == "failed")
    assert outcomes["failed"] < len(run.records) / 2
    assert books["arrivals"] == books["accepted"] + books["refused"]
    assert books["accepted"] == sum(books["ended"].values())
    assert outcomes["useful"] <= books["ended"]["completed"] <= outcomes["useful"] + outcomes["late"] + outcomes["failed"]
    # The first text tells how long a call waited.
    assert all(one.waited_s is not None for one in run.records if one.outcome == "useful")
