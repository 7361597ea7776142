"""From the executors' answers to `Signals`. A number that cannot be makes the answer count as missing."""

import math
from collections.abc import Iterable, Sequence

from headrace.executor.v1 import executor_pb2 as pb

from headrace_operator.model import ModelSignals, Signals

NANOS = 1e9


def from_responses(answers: Iterable[pb.QueueSignalsResponse]) -> Signals | None:
    """What the executors that answered tell together; None when none of them told anything usable.

    Queue and fleet are global, so the freshest answer speaks for all. Of a model's gate each executor tells what it sees of
    the whole limit: the worst 429 ratio and pause count, the longest call, and the lowest rate of those that know a limit.
    """
    usable = [answer for answer in answers if is_usable(answer)]
    if not usable:
        return None
    last = max(usable, key=_time)
    return Signals(
        time=_time(last),
        queued=last.queued_interactive + last.queued_standard + last.queued_background,
        running=last.running,
        slots_per_replica=last.slots_per_replica,
        replicas=last.replicas,
        oldest_wait_s=last.oldest_wait_s,
        seconds_per_run=last.seconds_per_run,
        models=tuple(_models(usable)),
        default_model=last.default_model,
    )


def is_usable(answer: pb.QueueSignalsResponse) -> bool:
    """Whether every number that scaling reads is finite and not negative, and there are a time and slots."""
    numbers: list[float] = [
        answer.queued_interactive,
        answer.queued_standard,
        answer.queued_background,
        answer.running,
        answer.replicas,
        answer.oldest_wait_s,
        answer.seconds_per_run,
    ]
    for one in answer.models:
        numbers += [one.effective_rpm, one.configured_rpm, one.seconds_per_call, one.queue_depth, one.cooling_s]
        numbers += [one.throttled_ratio, 1.0 - one.throttled_ratio]
    sound = all(math.isfinite(number) and number >= 0 for number in numbers)
    return sound and answer.slots_per_replica > 0 and answer.HasField("time")


def _time(answer: pb.QueueSignalsResponse) -> float:
    return answer.time.seconds + answer.time.nanos / NANOS


def _models(answers: Sequence[pb.QueueSignalsResponse]) -> Iterable[ModelSignals]:
    by_name: dict[str, list[pb.ModelSignals]] = {}
    for answer in answers:
        for one in answer.models:
            by_name.setdefault(one.model, []).append(one)
    return (_model(name, seen) for name, seen in sorted(by_name.items()))


def _model(name: str, seen: Sequence[pb.ModelSignals]) -> ModelSignals:
    rates = [one.effective_rpm for one in seen if one.effective_rpm or one.configured_rpm]
    return ModelSignals(
        model=name,
        effective_rpm=min(rates, default=0.0),
        configured_rpm=max(one.configured_rpm for one in seen),
        throttled_ratio=max(one.throttled_ratio for one in seen),
        seconds_per_call=max(one.seconds_per_call for one in seen),
        queue_depth=max(one.queue_depth for one in seen),
        cooling_s=max(one.cooling_s for one in seen),
    )
