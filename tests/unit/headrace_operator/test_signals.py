"""From the executors' answers to signals."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from headrace.executor.v1 import executor_pb2 as pb
from headrace_operator.signals import from_responses


def answer(seconds: int = 100, *, gate: dict[str, Any] | None = None, **changes: Any) -> pb.QueueSignalsResponse:
    values: dict[str, Any] = {
        "queued_interactive": 1,
        "queued_standard": 2,
        "queued_background": 3,
        "running": 4,
        "slots_per_replica": 8,
        "replicas": 2,
        "default_model": "qwen",
    }
    one = pb.QueueSignalsResponse(**(values | changes))
    one.time.seconds, one.time.nanos = seconds, 500_000_000
    if gate is not None:
        one.models.add(**({"model": "qwen", "effective_rpm": 60.0, "configured_rpm": 60.0, "shared": True} | gate))
    return one


def test_one_answer() -> None:
    seen = from_responses([answer(oldest_wait_s=1.5, gate={"throttled_ratio": 0.1, "seconds_per_call": 8.0})])
    assert seen is not None
    assert (seen.time, seen.queued, seen.running, seen.slots_per_replica, seen.replicas) == (100.5, 6, 4, 8, 2)
    assert (seen.oldest_wait_s, seen.default_model) == (1.5, "qwen")
    assert (seen.models[0].effective_rpm, seen.models[0].throttled_ratio, seen.models[0].seconds_per_call) == (60, 0.1, 8)


def test_of_the_queue_the_freshest_count_is_taken() -> None:
    seen = from_responses([answer(100, running=1), answer(102, running=7), answer(101, running=9)])
    assert seen is not None
    assert (seen.time, seen.running, seen.queued) == (102.5, 7, 6)


def test_of_a_gate_the_worst_view_is_taken() -> None:
    one = answer(gate={"throttled_ratio": 0.2, "effective_rpm": 50.0, "seconds_per_call": 4.0})
    two = answer(gate={"cooling_s": 2.0, "effective_rpm": 45.0, "seconds_per_call": 9.0, "queue_depth": 3})
    seen = from_responses([one, two])
    assert seen is not None
    (gate,) = seen.models
    assert (gate.throttled_ratio, gate.cooling_s, gate.effective_rpm, gate.seconds_per_call) == (0.2, 2.0, 45.0, 9.0)
    assert gate.queue_depth == 3


def test_an_executor_that_knows_no_limit_does_not_make_the_quota_zero() -> None:
    seen = from_responses([answer(gate={"effective_rpm": 0.0, "configured_rpm": 0.0}), answer(gate={})])
    assert seen is not None
    assert seen.models[0].effective_rpm == 60.0


def test_models_are_told_apart() -> None:
    seen = from_responses([answer(gate={}), answer(gate={"model": "turbo", "effective_rpm": 9.0})])
    assert seen is not None
    assert [(one.model, one.effective_rpm) for one in seen.models] == [("qwen", 60.0), ("turbo", 9.0)]


def test_no_answer_is_none() -> None:
    assert from_responses([]) is None


def _without_time() -> pb.QueueSignalsResponse:
    one = answer()
    one.ClearField("time")
    return one


BAD: dict[str, Callable[[], pb.QueueSignalsResponse]] = {
    "nothing": pb.QueueSignalsResponse,
    "no time": _without_time,
    "no slots": lambda: answer(slots_per_replica=0),
    "a negative queue": lambda: answer(queued_standard=-1),
    "negative runs": lambda: answer(running=-1),
    "a wait that is no number": lambda: answer(oldest_wait_s=math.nan),
    "a rate that is no number": lambda: answer(gate={"effective_rpm": math.nan}),
    "an infinite rate": lambda: answer(gate={"effective_rpm": math.inf}),
    "a negative rate": lambda: answer(gate={"configured_rpm": -1.0}),
    "a negative time of a call": lambda: answer(gate={"seconds_per_call": -1.0}),
    "an infinite pause": lambda: answer(gate={"cooling_s": math.inf}),
    "a ratio above one": lambda: answer(gate={"throttled_ratio": 1.1}),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_an_answer_that_cannot_be_counts_as_missing(bad: Callable[[], pb.QueueSignalsResponse]) -> None:
    assert from_responses([bad()]) is None
    seen = from_responses([bad(), answer(99)])
    assert seen is not None
    assert (seen.time, seen.running) == (99.5, 4)
