"""A job ends once, for its first reason."""

import pytest
from headrace_rag.job import Job
from headrace_runtime.errors import Aborted, DeadlineExceeded, Unavailable


def test_time_runs_out_and_stays_out() -> None:
    now = 100.0
    job = Job(budget_s=10, clock=lambda: now)
    assert job.remaining_s() == 10

    now = 109.6
    with pytest.raises(DeadlineExceeded):
        job.remaining_s()
    now = 100.0
    with pytest.raises(DeadlineExceeded):
        job.remaining_s()
    assert job.stopped.is_set()


def test_the_first_reason_counts() -> None:
    job = Job(budget_s=10, clock=lambda: 0.0)
    job.stop(Aborted("first"))
    job.stop(Unavailable("second"))

    with pytest.raises(Aborted, match="first"):
        job.remaining_s()
