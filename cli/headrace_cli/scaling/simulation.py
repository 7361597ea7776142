"""Plays one trace against one policy, and writes down what happens."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from headrace_llm.gate.pace import SECOND_US
from headrace_operator.model import Memory, ModelSignals, Observed, Signals, Spec
from headrace_operator.policy import decide

from headrace_cli.scaling.hpa import Hpa, HpaSpec
from headrace_cli.scaling.plant import Machine, Phase, Plant
from headrace_cli.scaling.trace import MINUTE_S, Arrival, Row

SAMPLE_S = 1.0
MODEL = "model"

Control = Callable[[Plant, float], tuple[int, str]]
"""(the plant, now) to the scale that there shall be, and what bounds it."""


@dataclass(frozen=True, slots=True)
class Controller:
    """A policy, and when it is asked."""

    name: str
    every_s: float
    control: Control
    idle_first: bool
    """Whether those go first that have the least to do; else the youngest."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The plant at a time."""

    time_s: float
    replicas: int
    """The scale that is asked for."""
    pods: int
    """Those that are there: also those that start or drain."""
    ready: int
    queued: int
    running: int


@dataclass(frozen=True, slots=True)
class Play:
    """What was seen of one policy."""

    name: str
    every_s: float
    samples: Sequence[Sample]
    waits_s: Sequence[float]
    """Of the runs that have ended, ascending: everything beyond their calls."""
    unfinished: int
    handed_back: int
    calls: int
    refused: int
    """Calls answered 429."""
    limited_by: Counter[str]
    """Decisions by what bounded them."""


def play(rows: Sequence[Row], arrivals: Sequence[Arrival], machine: Machine, controller: Controller, *, least: int) -> Play:
    """Begin with `least` ready executors and end with the last row."""
    plant = Plant(rows, arrivals, machine, replicas=least)
    samples: list[Sample] = []
    bounds: Counter[str] = Counter()
    end_s = rows[-1].time_s

    def control(now: float) -> None:
        replicas, why = controller.control(plant, now)
        bounds[why] += 1
        plant.scale(replicas, idle_first=controller.idle_first)

    for number in range(1, math.ceil(end_s / controller.every_s)):
        plant.at(number * controller.every_s, partial(control, number * controller.every_s))
    for number in range(math.ceil(end_s / SAMPLE_S)):
        plant.at(number * SAMPLE_S, lambda: samples.append(_sample(plant)))
    plant.play(end_s)
    ended = [run for run in plant.runs if run.ended_us >= 0]
    return Play(
        controller.name,
        controller.every_s,
        samples,
        sorted(run.wait_s for run in ended),
        len(plant.runs) - len(ended),
        plant.handed_back,
        plant.calls,
        plant.refused,
        bounds,
    )


def headrace(spec: Spec, *, slots: int, every_s: float) -> Controller:
    """The operator's own policy, with the signals that executors would send."""
    memory = Memory()

    def control(plant: Plant, now: float) -> tuple[int, str]:
        nonlocal memory
        ready = sum(one.phase is Phase.READY for one in plant.executors)
        decision = decide(spec, Observed(plant.replicas, ready), _signals(plant, slots, now), memory, now)
        memory = decision.memory
        return decision.replicas, decision.limited_by

    return Controller("headrace", every_s, control, idle_first=True)


def keda(name: str, spec: HpaSpec, *, every_s: float) -> Controller:
    """KEDA and the HorizontalPodAutoscaler that it makes."""
    hpa = Hpa(spec)

    def control(plant: Plant, now: float) -> tuple[int, str]:
        return hpa.decide(replicas=plant.replicas, runs=len(plant.line) + plant.running, now=now), ""

    return Controller(name, every_s, control, idle_first=False)


def _signals(plant: Plant, slots: int, now: float) -> Signals:
    view, quota = plant.limiter.view(now_us=plant.now_us), plant.limiter.quota
    granted = sum(view.granted)
    gate = ModelSignals(
        MODEL,
        effective_rpm=quota.rpm * view.factor,
        configured_rpm=quota.rpm,
        throttled_ratio=min(1.0, view.throttled / granted) if granted else 0.0,
        seconds_per_call=view.seconds_per_call,
        queue_depth=sum(view.depths),
        cooling_s=view.cooling_us / SECOND_US,
    )
    return Signals(now, len(plant.line), plant.running, slots, models=(gate,), default_model=MODEL)


def _sample(plant: Plant) -> Sample:
    return Sample(
        plant.now_us / SECOND_US,
        plant.replicas,
        len(plant.executors),
        sum(one.phase is Phase.READY for one in plant.executors),
        len(plant.line),
        plant.running,
    )


def fed(row: Row, calls: int, headroom: float) -> int:
    """Executors that a row's true quota can feed, by the policy's formula."""
    return math.ceil(row.rpm / MINUTE_S * row.seconds_per_call / calls * (1 + headroom) - 1e-9)
