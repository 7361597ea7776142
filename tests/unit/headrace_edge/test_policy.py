"""Errors become the right problems."""

import pytest
from headrace_edge import policy
from headrace_edge.model import Failure
from headrace_runtime import errors
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidArgument("x"), 422),
        (errors.NotFound("x"), 404),
        (errors.AlreadyExists("x"), 409),
        (errors.FailedPrecondition("x"), 409),
        (errors.FailedPrecondition("x", reason="IDEMPOTENCY_KEY_REUSED"), 422),
        (errors.OutOfRange("x"), 400),
        (errors.DataLoss("x"), 410),
        (errors.ResourceExhausted("x"), 429),
        (errors.Unavailable("x"), 503),
        (errors.DeadlineExceeded("x"), 504),
        (errors.Aborted("x"), 409),
        (errors.PermissionDenied("x"), 403),
        (errors.InternalError("x"), 500),
    ],
)
def test_each_service_error_has_its_status(error: errors.ServiceError, status: int) -> None:
    assert policy.problem_of(error).status == status


def test_every_service_error_has_a_status_of_its_own_making() -> None:
    for cls in errors.ServiceError.__subclasses__():
        assert 400 <= policy.problem_of(cls("x")).status <= 504


def test_our_own_faults_tell_no_details() -> None:
    assert "secret" not in policy.problem_of(errors.InternalError("secret")).detail


def test_violations_become_faults() -> None:
    error = errors.InvalidArgument("x", violations=(errors.Violation("body.model", "is unknown"),))
    assert policy.problem_of(error).faults == (policy.Fault(("body.model",), "is unknown"),)


@given(st.floats(min_value=0, max_value=1e6))
def test_retry_after_is_whole_seconds_and_never_too_early(seconds: float) -> None:
    told = policy.problem_of(errors.ResourceExhausted("x", retry_after_s=seconds)).retry_after_s
    assert isinstance(told, int)
    assert told >= max(1, seconds)
    assert told < seconds + 1 or told == 1


def test_429_and_503_always_say_when_to_come_back() -> None:
    assert policy.problem_of(errors.Unavailable("x")).retry_after_s == policy.DEFAULT_RETRY_AFTER_S
    assert policy.problem_of(errors.NotFound("x")).retry_after_s is None


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("deadline", 504),
        ("provider", 502),
        ("quota", 503),
        ("budget", 429),
        ("invalid_blueprint", 422),
        ("internal", 500),
        ("new", 500),
    ],
)
def test_a_failed_run_has_a_status(code: str, status: int) -> None:
    assert policy.problem_of_failure(Failure(code, "why"), now_s=0.0).status == status


def test_a_run_that_met_a_spent_budget_may_be_repeated_at_midnight_utc() -> None:
    failure = Failure("budget", "why")
    assert policy.problem_of_failure(failure, now_s=86_400 * 20_000 + 43_199.5).retry_after_s == 43_201


@pytest.mark.parametrize(("told_s", "seconds"), [(None, policy.DEFAULT_RETRY_AFTER_S), (0.0, 1), (41.2, 42)])
def test_a_run_that_met_no_quota_may_be_repeated_when_the_gate_said(told_s: float | None, seconds: int) -> None:
    assert policy.problem_of_failure(Failure("quota", "why", told_s), now_s=0.0).retry_after_s == seconds


@pytest.mark.parametrize(
    ("header", "query", "after"),
    [(None, None, 0), ("", None, 0), ("7", "3", 7), (None, "3", 3), ("0", None, 0)],
)
def test_the_header_wins_over_the_query(header: str | None, query: str | None, after: int) -> None:
    assert policy.parse_after(header, query) == after


@pytest.mark.parametrize("text", ["abc", "-1", "1.5", "1e3", " 1", "+1", "٣", "9" * 40])
def test_what_is_not_an_integer_of_0_or_more_is_refused(text: str) -> None:
    assert policy.parse_after(text, None) is None
    assert policy.parse_after(None, text) is None


@given(st.text(max_size=200))
def test_positions_that_are_taken_fit_the_contract(text: str) -> None:
    after = policy.parse_after(text, None)
    assert after is None or 0 <= after < 2**63


@given(st.text(max_size=140))
def test_idempotency_keys_that_are_taken_go_into_metadata_and_logs_unharmed(key: str) -> None:
    if policy.valid_idempotency_key(key):
        assert 1 <= len(key) <= 128
        assert key.isascii()
        assert key.isprintable()
        assert " " not in key


@given(st.integers(min_value=0, max_value=10_000), st.floats(min_value=0, max_value=1, exclude_max=True))
def test_backing_off_never_takes_more_than_two_seconds(attempt: int, jitter: float) -> None:
    assert 0.02 < policy.rewatch_delay_s(attempt, jitter=jitter) <= 2.0
