"""Signals and loops for the policy's tests."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from headrace_operator.model import Decision, Memory, ModelSignals, Observed, Signals, Spec
from headrace_operator.policy import decide

START_S = 1_000_000.0


def gate(**changes: Any) -> ModelSignals:
    """A gate of 60 calls a minute that take 8 s each: 8 calls in flight."""
    return replace(ModelSignals("qwen", effective_rpm=60.0, configured_rpm=60.0, seconds_per_call=8.0), **changes)


def signals(*, queued: int = 0, running: int = 0, slots: int = 4, time: float = START_S, **of_gate: Any) -> Signals:
    """Executors of four slots, whose calls pass `gate`."""
    models = (gate(**of_gate),)
    return Signals(time, queued=queued, running=running, slots_per_replica=slots, models=models, default_model="qwen")


@dataclass
class Loop:
    """Decides again and again, and gets what it asks for."""

    spec: Spec = field(default_factory=Spec)
    replicas: int = 1
    now: float = START_S
    memory: Memory = field(default_factory=Memory)
    budget: int | None = None
    decisions: list[tuple[float, int, Decision]] = field(default_factory=list)
    """When, at which scale, what."""

    def tick(self, seen: Signals | None, *, after_s: float = 10.0, refused: int = 0, refused_by: str = "") -> Decision:
        """Let time pass and decide; the signals are given the time of the decision."""
        self.now += after_s
        fresh = None if seen is None else replace(seen, time=self.now)
        observed = Observed(self.replicas, self.replicas - refused, refused, refused_by, self.budget)
        decision = decide(self.spec, observed, fresh, self.memory, self.now)
        self.decisions.append((self.now, self.replicas, decision))
        self.memory, self.replicas = decision.memory, decision.replicas
        return decision

    def ticks(self, seen: Signals | None, seconds: float, *, every_s: float = 10.0) -> Iterator[Decision]:
        """As many as fit."""
        for _ in range(round(seconds / every_s)):
            yield self.tick(seen, after_s=every_s)

    def until(self, seen: Signals, reached: Callable[[Decision], bool], *, most: int = 200) -> float:
        """Tick until it is so; the seconds that it took."""
        since = self.now
        for _ in range(most):
            if reached(self.tick(seen)):
                return self.now - since
        raise AssertionError(f"not within {most} decisions; the last: {self.decisions[-1][2].message}")


def changes(decisions: Iterable[tuple[float, int, Decision]]) -> list[tuple[float, int, Decision]]:
    """(when, difference, decision) of those that changed the scale."""
    return [(time, one.replicas - before, one) for time, before, one in decisions if one.replicas != before]
