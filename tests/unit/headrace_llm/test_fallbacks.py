import pytest
from headrace_llm import fallbacks
from headrace_llm.errors import (
    BreakerOpen,
    CallTimeout,
    ContentRefused,
    ErrorClass,
    GateRefused,
    InvalidAnswer,
    ModelSilent,
    PromptTooLong,
    ProviderAuth,
    ProviderRejected,
    ProviderUnavailable,
    QuotaUsedUp,
    Throttled,
    UnknownModel,
    class_of,
)
from headrace_llm.fallbacks import MAX_CHAIN, Route
from headrace_llm.registry import ModelEntry
from headrace_llm.treatment import TREATMENTS, Blame, Move, Repeat, repeats
from headrace_llm.usage import Usage
from headrace_runtime.errors import InternalError, ServiceError
from hypothesis import given
from hypothesis import strategies as st


def entry(name: str, *fallbacks: str, context: int = 100) -> ModelEntry:
    return ModelEntry(id=name, model=f"openai/{name}", context_tokens=context, fallbacks=fallbacks)


def names(*entries: ModelEntry, prompt: int = 10) -> list[str]:
    models = {one.id: one for one in entries}
    return [one.id for one in fallbacks.chain(models, entries[0], prompt_tokens=prompt)]


def test_a_chain_is_the_model_and_its_own_fallbacks_in_order_each_once() -> None:
    assert names(entry("a", "c", "b", "c", "a"), entry("b", "d"), entry("c"), entry("d")) == ["a", "c", "b"]


def test_a_fallback_must_be_able_to_read_the_prompt() -> None:
    assert names(entry("a", "b", "c", context=5), entry("b", context=9), entry("c", context=10)) == ["a", "c"]


def test_a_chain_is_bounded() -> None:
    many = [entry(f"m{at}") for at in range(20)]
    assert len(names(entry("a", *(one.id for one in many)), *many)) == MAX_CHAIN


def route(*contexts: int) -> Route:
    return Route.of(tuple(entry(f"m{at}", context=context) for at, context in enumerate(contexts or (100, 100, 100))))


def walk(start: Route, *moves: Move) -> tuple[str, bool] | None:
    now: Route | None = start
    for move in moves:
        assert now is not None
        now = now.moved(move)
    return None if now is None else (now.entry.id, now.patient)


def test_when_all_refuse_the_first_is_waited_for() -> None:
    assert walk(route(), Move.MEANWHILE) == ("m1", False)
    assert walk(route(), *[Move.MEANWHILE] * 3) == ("m0", True)
    assert walk(route(), *[Move.MEANWHILE] * 5) == ("m2", True)
    assert walk(route(), *[Move.MEANWHILE] * 6) is None


def test_a_model_that_failed_is_not_come_back_to() -> None:
    assert walk(route(), Move.YES, Move.MEANWHILE, Move.MEANWHILE) == ("m1", True)
    assert walk(route(), Move.YES, Move.YES, Move.YES) is None


def test_a_lone_model_is_waited_for_at_once() -> None:
    assert walk(route(100)) == ("m0", True)
    assert walk(route(100), Move.MEANWHILE) is None


def test_a_prompt_that_is_too_long_goes_to_a_larger_model_only() -> None:
    assert walk(route(100, 100, 200, 50), Move.LARGER) == ("m2", False)
    assert walk(route(100, 100, 50), Move.LARGER) is None


def test_a_second_content_filter_ends_it() -> None:
    assert walk(route(), Move.ONCE) == ("m1", False)
    assert walk(route(), Move.ONCE, Move.ONCE) is None


@given(st.integers(1, 5), st.lists(st.sampled_from(Move), min_size=20, max_size=20))
def test_every_route_ends_and_asks_nobody_more_than_twice(models: int, moves: list[Move]) -> None:
    now: Route | None = route(*[100] * models)
    seen: list[str] = []
    for move in moves:
        if now is None:
            break
        seen.append(now.entry.id)
        now = now.moved(move)
    assert now is None
    assert max(seen.count(name) for name in seen) <= 2


ERRORS: dict[ErrorClass, ServiceError] = {
    ErrorClass.THROTTLED: Throttled("x", retry_after_s=1),
    ErrorClass.TRANSIENT: ProviderUnavailable("x"),
    ErrorClass.HUNG: ModelSilent("x"),
    ErrorClass.TIMEOUT: CallTimeout("x"),
    ErrorClass.CONTENT: ContentRefused("x"),
    ErrorClass.AUTH: QuotaUsedUp("x"),
    ErrorClass.REQUEST: ProviderRejected("x"),
    ErrorClass.TOO_LONG: PromptTooLong("x"),
    ErrorClass.ANSWER: InvalidAnswer("x", text="", faults=(), usage=Usage()),
    ErrorClass.GATE: GateRefused("x", retry_after_s=1),
    ErrorClass.BREAKER: BreakerOpen("x", retry_after_s=1),
}


def test_every_class_has_an_error_and_a_treatment() -> None:
    assert {kind: class_of(error) for kind, error in ERRORS.items()} == {kind: kind for kind in ErrorClass}
    assert set(TREATMENTS) == set(ErrorClass)
    assert class_of(ProviderAuth("x")) is ErrorClass.AUTH
    assert class_of(UnknownModel("x")) is class_of(InternalError("x")) is ErrorClass.REQUEST


def test_only_what_may_pass_is_repeated_and_throttling_is_no_fault() -> None:
    repeated = {kind for kind, one in TREATMENTS.items() if one.repeat is not Repeat.NEVER}
    assert repeated == {ErrorClass.THROTTLED, ErrorClass.TRANSIENT, ErrorClass.HUNG}
    faults = {kind for kind, one in TREATMENTS.items() if one.blame in (Blame.FAILED, Blame.SLOW)}
    assert faults == {ErrorClass.TRANSIENT, ErrorClass.HUNG, ErrorClass.TIMEOUT, ErrorClass.AUTH}


@pytest.mark.parametrize(
    ("repeat", "alone", "begun", "times"),
    [
        (Repeat.NEVER, True, False, 0),
        (Repeat.PACED, False, False, 2),
        (Repeat.BACK_OFF, False, False, 2),
        (Repeat.BACK_OFF, True, True, 1),
        (Repeat.BACK_OFF, False, True, 0),
        (Repeat.ALONE, True, False, 1),
        (Repeat.ALONE, False, False, 0),
    ],
)
def test_how_often_a_model_is_asked_again(repeat: Repeat, alone: bool, begun: bool, times: int) -> None:
    assert repeats(repeat, most=2, alone=alone, begun=begun) == times
    assert repeats(repeat, most=0, alone=alone, begun=begun) == 0


@given(st.permutations(list(ERRORS.values())))
def test_the_verdict_is_what_passes_first(errors: list[ServiceError]) -> None:
    soon = GateRefused("soon", retry_after_s=0.5)
    assert fallbacks.verdict([*errors, soon]) is soon
    lasting = [error for error in errors if error.retry_after_s is None]
    assert class_of(fallbacks.verdict(lasting)) in (ErrorClass.TRANSIENT, ErrorClass.HUNG)
    mine = ProviderRejected("mine")
    assert fallbacks.verdict([mine, ContentRefused("theirs")]) is mine
