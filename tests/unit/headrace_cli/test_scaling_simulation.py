"""A trace, played in virtual time: nothing is lost on the way, the quota holds, and the figures are what was seen."""

import dataclasses
import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
from headrace_cli.errors import CliError
from headrace_cli.main import app
from headrace_cli.scaling import figures, simulation, trace
from headrace_cli.scaling.figures import Bounds, Figures
from headrace_cli.scaling.hpa import Hpa, HpaSpec
from headrace_cli.scaling.plant import Machine, Phase, Plant
from headrace_cli.scaling.simulation import Controller, Play, Sample
from headrace_cli.scaling.trace import Arrival, Row
from headrace_operator.model import Spec
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

EXAMPLES = Path(__file__).parents[3] / "examples/scaling"
HEAD = "time_s,runs_per_s,rpm\n"


def flat(*, seconds: float = 300.0, rpm: float = 60.0, runs_per_s: float = 0.0) -> list[Row]:
    return [Row(0.0, runs_per_s, rpm, 8.0, 1.0), Row(seconds, 0.0, rpm, 8.0, 1.0)]


# The trace


def test_rows_hold_until_the_next_and_the_last_ends_it() -> None:
    rows = trace.parse("# said\ntime_s, runs_per_s, rpm, seconds_per_call, calls_per_run\n0,1,60,4,2\n\n10,0,30,4,2\n", "t")
    assert rows == [Row(0, 1, 60, 4, 2), Row(10, 0, 30, 4, 2)]


def test_runs_are_spread_until_the_next_row() -> None:
    rows = trace.parse("time_s,runs,rpm\n0,30,60\n60,0,60\n", "t")
    assert (rows[0].runs_per_s, rows[0].seconds_per_call, rows[0].calls_per_run) == (0.5, 8.0, 1.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no column time_s"),
        ("time_s,runs_per_s\n0,1\n1,1\n", "has no column rpm"),
        ("time_s,rpm\n0,1\n1,1\n", "must have one of the columns runs_per_s and runs"),
        ("time_s,runs,runs_per_s,rpm\n0,1,1,1\n", "must have one of the columns"),
        (HEAD.replace("rpm", "quota") + "0,1,60\n", "does not know the column 'quota'"),
        (HEAD + "0,1,60\n", "has 1 rows"),
        (HEAD + "0,1,60\n5,x,60\n", "row 2: runs_per_s x is not a number"),
        (HEAD + "0,1,60\n5,,60\n", "row 2: runs_per_s is empty"),
        (HEAD + "0,1,60\n5,nan,60\n", "row 2: runs_per_s nan is not from 0 to 1000"),
        (HEAD + "0,1,60\n5,1,0\n", "row 2: rpm 0 is not from 1"),
        (HEAD + "0,1,60\n5,1\n", "row 2: rpm is empty"),
        (HEAD + "0,1,60\n5,1,60,9\n", "row 2 has more values"),
        (HEAD + "5,1,60\n5,1,60\n", "row 2: time_s 5 is not after 5"),
        (HEAD + "0,1000,60\n600000,0,60\n", "has 600,000,000 runs"),
    ],
)
def test_a_fault_names_its_row_and_column(text: str, said: str) -> None:
    with pytest.raises(CliError) as raised:
        trace.parse(text, "t.csv")
    assert str(raised.value).startswith("t.csv")
    assert said in str(raised.value)


def test_runs_arrive_at_the_rates_of_their_rows() -> None:
    rows = [Row(0, 2, 60, 5, 1.5), Row(1000, 0, 60, 5, 1.5), Row(2000, 0, 60, 5, 1.5)]
    found = trace.arrivals(rows, seed=1, spread=0.5)
    assert 1900 < len(found) < 2100
    assert max(one.time_s for one in found) < 1000
    calls = [seconds for one in found for seconds in one.calls_s]
    assert len(calls) / len(found) == pytest.approx(1.5, abs=0.05)
    assert sum(calls) / len(calls) == pytest.approx(5, rel=0.05)
    assert found == trace.arrivals(rows, seed=1, spread=0.5)


# The plant


def test_a_run_alone_waits_for_nothing() -> None:
    plant = Plant(flat(), [Arrival(3.0, (8.0, 2.0))], Machine(4, 0, 0), replicas=1)
    plant.play(20)
    assert plant.runs[0].ended_us == 13_000_000
    assert plant.runs[0].wait_s == pytest.approx(0)


def test_one_more_than_the_slots_waits_for_a_slot() -> None:
    plant = Plant(flat(rpm=6000), [Arrival(0.0, (8.0,))] * 5, Machine(4, 0, 0), replicas=1)
    plant.play(1)
    assert (plant.running, len(plant.line)) == (4, 1)
    plant.play(300)
    assert sorted(round(run.wait_s) for run in plant.runs) == [0, 0, 0, 0, 8]


def test_calls_leave_at_the_pace_of_the_quota() -> None:
    plant = Plant(flat(), [Arrival(0.0, (0.5,))] * 200, Machine(300, 0, 0), replicas=1)
    plant.play(101)
    assert sum(run.ended_us >= 0 for run in plant.runs) in (97, 98, 99, 100)  # the gate keeps a little back
    assert plant.refused == 0


def test_a_quota_that_falls_unannounced_is_met_by_429s_and_learned() -> None:
    rows = [Row(0, 0, 120, 1, 1), Row(100, 0, 30, 1, 1), Row(700, 0, 30, 1, 1)]
    plant = Plant(rows, [Arrival(0.0, (1.0,))] * 1000, Machine(1000, 0, 0), replicas=1)
    plant.play(100)
    before = plant.calls
    assert plant.refused == 0
    plant.play(700)
    assert 0 < plant.refused < 0.2 * (plant.calls - before)
    assert plant.calls - plant.refused - before <= 301


def test_an_executor_comes_after_its_start_and_goes_when_it_has_nothing_to_do() -> None:
    plant = Plant(flat(rpm=6000), [Arrival(0.0, (60.0,))] * 5, Machine(4, 10, 5), replicas=1)
    plant.play(1)
    plant.scale(2, idle_first=True)
    plant.play(10)
    assert (plant.replicas, plant.running) == (2, 4)
    plant.play(12)
    assert plant.running == 5
    plant.scale(1, idle_first=True)
    assert [one.phase for one in plant.executors] == [Phase.READY, Phase.DRAINING]
    plant.play(17)
    assert (len(plant.executors), plant.handed_back, len(plant.line)) == (1, 1, 1)
    plant.play(300)
    assert all(run.ended_us >= 0 for run in plant.runs)


def test_those_that_still_start_go_first_then_the_idlest() -> None:
    plant = Plant(flat(rpm=6000), [Arrival(0.0, (60.0,))] * 3, Machine(4, 10, 5), replicas=3)
    plant.play(1)
    plant.executors[0].runs.add(next(iter(plant.executors[1].runs)))
    plant.scale(4, idle_first=True)
    plant.scale(3, idle_first=True)
    assert [one.phase for one in plant.executors] == [Phase.READY] * 3
    plant.scale(2, idle_first=True)
    assert [one.phase for one in plant.executors] == [Phase.READY, Phase.READY, Phase.DRAINING]


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.floats(0, 200), st.lists(st.floats(0.1, 30), min_size=1, max_size=3)), min_size=1, max_size=60),
    st.lists(st.tuples(st.floats(1, 250), st.integers(1, 5)), max_size=12),
    st.integers(1, 5),
    st.sampled_from([20.0, 60.0, 300.0]),
)
def test_no_run_is_lost_or_ends_twice_however_it_is_scaled(
    arriving: list[tuple[float, list[float]]], scales: list[tuple[float, int]], slots: int, rpm: float
) -> None:
    rows = [Row(0, 0, 300, 8, 1), Row(60, 0, rpm, 8, 1), Row(90, 0, 300, 8, 1)]
    arrivals = [Arrival(time, tuple(calls)) for time, calls in sorted(arriving)]
    plant = Plant(rows, arrivals, Machine(slots, 7, 4), replicas=1)
    for time, replicas in scales:
        plant.at(time, partial(plant.scale, replicas, idle_first=True))
    for time in range(0, 250, 10):
        plant.play(time)
        ended = sum(run.ended_us >= 0 for run in plant.runs)
        assert ended + plant.running + len(plant.line) == sum(round(one.time_s * 1e6) <= time * 1e6 for one in arrivals)
        assert all(len(one.runs) <= slots for one in plant.executors)
    plant.play(20_000)
    assert all(run.wait_s >= -1e-3 for run in plant.runs)
    assert (plant.running, len(plant.line), sum(run.ended_us >= 0 for run in plant.runs)) == (0, 0, len(arrivals))


# KEDA


def test_the_hpa_asks_for_the_queue_over_its_target() -> None:
    hpa = Hpa(HpaSpec(4, 1, 10))
    assert hpa.decide(replicas=1, runs=10, now=0) == 3
    assert hpa.decide(replicas=3, runs=13, now=60) == 3, "within its tolerance"
    assert hpa.decide(replicas=3, runs=400, now=120) == 7, "no more than four at once"
    assert hpa.decide(replicas=7, runs=400, now=135) == 10


def test_the_hpa_goes_down_after_its_window() -> None:
    hpa = Hpa(HpaSpec(4, 1, 10))
    assert hpa.decide(replicas=1, runs=16, now=0) == 4
    assert [hpa.decide(replicas=4, runs=0, now=now) for now in (15, 150, 299, 301)] == [4, 4, 4, 1]


def test_a_cached_metric_is_seen_late() -> None:
    hpa = Hpa(HpaSpec(4, 1, 10, poll_s=30))
    assert hpa.decide(replicas=1, runs=0, now=0) == 1
    assert hpa.decide(replicas=1, runs=16, now=15) == 1
    assert hpa.decide(replicas=1, runs=16, now=30) == 4


# The figures


def figures_of(scales: list[int], rows: list[Row], **changes: Any) -> Figures:
    samples = [Sample(float(time), one, one, one, 0, 0) for time, one in enumerate(scales)]
    values: dict[str, Any] = {
        "waits_s": [],
        "unfinished": 0,
        "handed_back": 0,
        "calls": 0,
        "refused": 0,
        "limited_by": Counter(),
    }
    play = Play("one", 10, samples, **(values | changes))
    return figures.figures(play, rows, Bounds(1, 4, 0.25))


def test_figures_are_what_was_seen() -> None:
    rows = [Row(0, 0.1, 60, 8, 1), Row(4, 0.5, 60, 8, 1), Row(8, 0, 60, 8, 1)]
    one = figures_of([1, 1, 1, 1, 1, 1, 5, 2], rows, waits_s=[0.0, 1.0, 2.0, 9.0], calls=8, refused=2)
    assert (one.replica_s, one.beyond_quota_s, one.most_replicas) == (13, 2, 5)
    assert (one.changes, one.reversals, one.reaction_s) == (2, 1, 2)
    assert (one.wait_p50_s, one.wait_p95_s, one.throttled, one.quota_used) == (1.0, 9.0, 0.25, 6 / 8)


def test_nothing_seen_is_no_figure() -> None:
    one = figures_of([1, 1], flat(seconds=2))
    assert (one.reaction_s, one.wait_p50_s, one.throttled, one.changes) == (None, None, 0, 0)


def test_on_a_full_quota_headrace_stays_with_what_it_feeds_and_a_queue_length_does_not() -> None:
    rows = trace.parse((EXAMPLES / "burst.csv").read_text(), "burst")
    arrivals, machine = trace.arrivals(rows, seed=3, spread=0.5), Machine(4, 15, 20)

    def measured(controller: Controller) -> Figures:
        return figures.figures(simulation.play(rows, arrivals, machine, controller, least=1), rows, Bounds(1, 4, 0.25))

    ours = measured(simulation.headrace(Spec(max_replicas=10), slots=4, every_s=10))
    keda = measured(simulation.keda("keda", HpaSpec(4, 1, 10), every_s=15))
    assert ours.wait_p95_s is not None
    assert keda.wait_p95_s is not None
    assert ours.beyond_quota_s == 0 < keda.beyond_quota_s
    assert ours.replica_s < 0.5 * keda.replica_s
    assert ours.wait_p95_s < 1.05 * keda.wait_p95_s
    assert ours.limited_by["Quota"] > 0


# The command


def command(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["simulate-scaling", *arguments], env={"COLUMNS": "100"})


def test_the_command_tells_programs_all_of_it() -> None:
    said = json.loads(command(str(EXAMPLES / "burst.csv"), "--slots", "4", "--json").stdout)
    assert [one["policy"] for one in said["policies"]] == ["headrace", "keda", "keda, cached"]
    assert set(said["policies"][0]) == {one.name for one in dataclasses.fields(Figures)}
    assert said == json.loads(command(str(EXAMPLES / "burst.csv"), "--slots", "4", "--json").stdout)


def test_the_command_draws_what_it_says(tmp_path: Path) -> None:
    file = tmp_path / "plot.svg"
    result = command(str(EXAMPLES / "quota-drop.csv"), "--slots", "4", "--plot", str(file))
    assert result.exit_code == 0
    root = Xml.fromstring(file.read_text())
    texts = {one.text for one in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"headrace", "keda", "quota feeds", "Scaling: quota-drop"} <= texts


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("none.csv",), "none.csv cannot be read"),
        ((str(EXAMPLES / "burst.csv"), "--min", "3", "--max", "2"), "--min 3 is more than --max 2"),
        ((str(EXAMPLES / "burst.csv"), "--slots", "1000", "--max", "100"), "is more than 10,000"),
        ((str(EXAMPLES / "burst.csv"), "--plot", "x.png"), "does not end in .svg"),
        ((str(EXAMPLES / "burst.csv"), "--plot", "/none/x.svg"), "there is no folder /none"),
    ],
)
def test_wrong_arguments_are_told_in_a_line(arguments: tuple[str, ...], said: str) -> None:
    result = command(*arguments)
    assert result.exit_code == 1
    assert said in result.output
