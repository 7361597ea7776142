"""The circuit breakers of this process, one for each model."""

from collections.abc import Callable, Iterable

import structlog

from headrace_llm import breaker, metrics
from headrace_llm.breaker import Breaker, BreakerRules, Mode, Outcome
from headrace_llm.errors import BreakerOpen

log = structlog.get_logger()


class Breakers:
    """Keeps the states of `breaker`, and tells when one changes."""

    def __init__(self, models: Iterable[str], rules: BreakerRules, *, clock: Callable[[], float]) -> None:
        self._states = {model: Breaker() for model in models}
        self._rules = rules
        self._clock = clock
        self._causes: dict[str, str] = {}
        for model in self._states:
            metrics.BREAKER_OPEN.labels(model).set(0)

    def blocked_s(self, model: str) -> float:
        """How long the model is not asked; 0 when it is."""
        return breaker.blocked_s(self._states[model], self._rules, self._clock())

    def refusal(self, model: str) -> BreakerOpen:
        """The error of a call that is not let through; it says how the model failed last."""
        blocked_s = self.blocked_s(model)
        cause = self._causes.get(model, "")
        text = f"{model} kept failing and is left alone for {blocked_s:.1f} s; the last failure: {cause}"
        return BreakerOpen(text, retry_after_s=blocked_s)

    def admit(self, model: str) -> int | None:
        """Let a call through: the era to come back with, once, in `observe`. None when it is refused."""
        state, era = breaker.admit(self._states[model], self._clock())
        self._become(model, state)
        return era

    def observe(self, model: str, outcome: Outcome, *, era: int, cause: str = "") -> None:
        """Count what a call tells of its model; `cause` is what a failure said."""
        if outcome is Outcome.FAILED:
            self._causes[model] = cause
        state = breaker.observe(self._states[model], self._rules, outcome, era=era, now=self._clock())
        self._become(model, state)

    def first_token(self, model: str, *, era: int) -> int:
        """A stream has begun: that is what a probe wants to know. The era to come back with at its end."""
        if self._states[model].mode is not Mode.HALF_OPEN or self._states[model].era != era:
            return era
        self.observe(model, Outcome.ANSWERED, era=era)
        return self._states[model].era

    def _become(self, model: str, state: Breaker) -> None:
        before = self._states[model].mode
        self._states[model] = state
        if state.mode is before:
            return
        metrics.BREAKER_OPEN.labels(model).set(state.mode is not Mode.CLOSED)
        if state.mode is Mode.OPEN and state.until > self._clock():
            log.warning("breaker_opened", model=model, openings=state.openings, cause=self._causes.get(model))
        elif state.mode is Mode.CLOSED:
            log.info("breaker_closed", model=model)
