"""A HorizontalPodAutoscaler on the length of the queue, as KEDA sets one up. Pure.

desired = ceil(runs / target), by the algorithm of the Kubernetes documentation ("Horizontal Pod Autoscaling"): nothing
within 10 % of the target; up by 4 or by 100 % within 15 s, whichever is more; down to the most that was desired within the
stabilisation window. With a cached metric (KEDA's `useCachedMetrics`) the number is as old as the last poll.
"""

import math
from dataclasses import dataclass, field

TOLERANCE = 0.1
UP_REPLICAS, UP_FACTOR, UP_PERIOD_S = 4, 2, 15.0


@dataclass(frozen=True, slots=True)
class HpaSpec:
    """What is set of it."""

    target: float
    """Runs, waiting and running, of one replica."""
    min_replicas: int
    max_replicas: int
    down_window_s: float = 300.0
    poll_s: float = 0.0
    """The metric is read this often and cached in between; 0 means anew for each decision, as KEDA does by default."""


@dataclass(slots=True)
class Hpa:
    """Decides, and remembers what it has to."""

    spec: HpaSpec
    _desired: list[tuple[float, int]] = field(default_factory=list)
    _ups: list[tuple[float, int]] = field(default_factory=list)
    _runs: int = 0
    _read_s: float = -math.inf

    def decide(self, *, replicas: int, runs: int, now: float) -> int:
        """The replicas that there shall be."""
        if now - self._read_s >= self.spec.poll_s:
            self._runs, self._read_s = runs, now
        ratio = self._runs / (self.spec.target * max(replicas, 1))
        wish = replicas if abs(ratio - 1) <= TOLERANCE else math.ceil(self._runs / self.spec.target)
        wish = max(self.spec.min_replicas, min(self.spec.max_replicas, wish))
        self._desired = [one for one in self._desired if one[0] > now - self.spec.down_window_s]
        self._desired.append((now, wish))
        if wish < replicas:
            return min(replicas, max(one for _, one in self._desired))
        self._ups = [one for one in self._ups if one[0] > now - UP_PERIOD_S]
        before = replicas - sum(added for _, added in self._ups)
        wish = min(wish, max(before + UP_REPLICAS, before * UP_FACTOR, replicas))
        if wish > replicas:
            self._ups.append((now, wish - replicas))
        return wish
