"""Admission of runs over HTTP: accepted, accepted with a place, refused with a time, and served at that time."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from headrace.executor.v1 import executor_pb2 as pb
from headrace_edge import metrics
from headrace_runtime import errors

from tests.support import edge_suite
from tests.support.edge_suite import Suite

TASK = {"kind": "conversation", "message": "hello", "priority": "interactive"}
FAST = {"admission_patience_interactive_s": 10, "admission_grace_s": 20}


@pytest.fixture
async def edge() -> AsyncIterator[Suite]:
    async with edge_suite.suite(**FAST) as running:
        yield running


def signals(*, queued: int = 0, **gate: Any) -> pb.QueueSignalsResponse:
    """A model of 600 calls a minute, and runs of two calls that wait for it."""
    answer = pb.QueueSignalsResponse(queued_interactive=queued, slots_per_replica=8, replicas=1, default_model="small")
    answer.time.GetCurrentTime()
    answer.models.append(pb.ModelSignals(**{"model": "small", "effective_rpm": 600, "shared": True, **gate}))
    answer.kinds.append(pb.KindSignals(kind=pb.RUN_KIND_CONVERSATION, calls_per_run=2, seconds_per_run=3))
    return answer


async def submit(edge: Suite, *, key: str = "", **body: Any) -> httpx.Response:
    headers = {"idempotency-key": key} if key else {}
    return await edge.client.post("/api/tasks", json={**TASK, **body}, headers=headers)


async def due(edge: Suite) -> None:
    """Wait until the next promise's time has come."""
    async with asyncio.timeout(20):
        while (await edge.client.get("/api/quota")).json()["promises"]["next_s"] != 0:
            await asyncio.sleep(0.02)


async def refused_newcomer(edge: Suite) -> None:
    """Wait until the edge has seen the signals."""
    async with asyncio.timeout(20):
        while (await submit(edge, message="a newcomer")).status_code == 202:
            await asyncio.sleep(0.02)


async def test_an_accepted_run_is_told_what_it_waits_for_and_one_that_need_not_wait_is_not(edge: Suite) -> None:
    edge.executor.signals = signals(queued=20)
    waiting = (await submit(edge)).json()
    assert waiting["queue"] == {"position": 21, "expected_wait_s": 4.0}

    async with edge_suite.suite(**FAST) as idle:
        idle.executor.signals = signals()
        assert "queue" not in (await submit(idle)).json()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/tasks", TASK),
        ("/api/conversation", {"message": "hello"}),
        ("/api/conversation/stream", {"message": "hello"}),
        ("/api/workflow/generate", {"prompt": "hello"}),
        ("/api/page/generate", {"blueprint": {"version": 1}}),
        ("/api/internal/documents/parse", {"title": "a", "text": "b"}),
    ],
)
async def test_every_request_for_a_run_is_refused_with_the_limit_the_queue_and_a_time(
    edge: Suite, path: str, body: dict[str, Any]
) -> None:
    edge.executor.signals = signals(queued=100_000)
    answer = await edge.client.post(path, json=body)

    assert (answer.status_code, answer.headers["content-type"]) in {
        (429, "application/problem+json"),
        (503, "application/problem+json"),
    }
    problem = answer.json()
    assert problem["type"] == "urn:headrace:problem:limit-quota"
    assert problem["queue"]["position"] == 100_001
    assert "600 calls a minute" in problem["detail"]
    assert "200000 calls are ahead" in problem["detail"]
    assert int(answer.headers["retry-after"]) >= 1
    assert edge.executor.submits == 0


@pytest.mark.parametrize("key", ["", "mine"])
async def test_who_returns_as_told_is_served_before_newcomers(edge: Suite, key: str) -> None:
    edge.executor.signals = signals(queued=51)
    refused = await submit(edge, key=key)
    assert refused.status_code == 429
    assert refused.json()["promised"] is True
    quota = (await edge.client.get("/api/quota")).json()
    assert quota["promises"]["open"] == 1
    assert quota["promises"]["next_s"] <= 1

    assert refused.headers["retry-after"] == "1"
    await due(edge)
    assert (await submit(edge, message="another")).status_code == 429
    assert (await submit(edge, key=key)).status_code == 202
    assert (await edge.client.get("/api/quota")).json()["promises"]["open"] == 1


async def test_what_was_promised_stays_promised_when_the_submission_fails(edge: Suite) -> None:
    edge.executor.signals = signals(queued=51)
    assert (await submit(edge)).status_code == 429
    await due(edge)
    edge.executor.refuse = errors.ResourceExhausted("full", retry_after_s=1)
    assert (await submit(edge)).json()["detail"] == "full"
    edge.executor.refuse = None
    assert (await submit(edge)).status_code == 202


async def test_an_accepted_key_is_never_refused_again(edge: Suite) -> None:
    edge.executor.signals = signals()
    first = await submit(edge, key="mine")
    edge.executor.signals = signals(queued=100_000)
    await refused_newcomer(edge)
    again = await submit(edge, key="mine")
    assert (again.status_code, again.json()["run_id"]) == (202, first.json()["run_id"])


async def test_past_what_is_promised_it_is_503_with_the_farthest_time() -> None:
    async with edge_suite.suite(**FAST, admission_max_retry_s=60) as edge:
        edge.executor.signals = signals(queued=100_000)
        answer = await submit(edge)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert answer.json()["promised"] is False
    assert "none is kept" in answer.json()["detail"]


async def test_a_model_that_keeps_failing_is_503_after_one_run_that_finds_out(edge: Suite) -> None:
    edge.executor.signals = signals(breaker_open=True)
    assert (await submit(edge)).status_code == 202
    answer = await submit(edge, message="another")
    if answer.status_code == 202:  # so slow that it was time to find out again
        answer = await submit(edge, message="a third")
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:headrace:problem:model-failing")
    assert int(answer.headers["retry-after"]) >= 30


async def test_without_signals_runs_are_accepted_and_a_metric_says_so(edge: Suite) -> None:
    blind = metrics.ADMISSIONS.labels("blind")
    before = blind._value.get()
    edge.executor.signals = errors.InternalError("no signals")
    assert (await submit(edge)).status_code == 202
    assert blind._value.get() == before + 1


async def test_signals_that_hang_hold_no_request_for_long() -> None:
    async with edge_suite.suite(**FAST, admission_signals_timeout_s=0.2) as edge:
        edge.executor.signals = None
        assert (await submit(edge)).status_code == 202


async def test_many_requests_at_once_ask_for_signals_once(edge: Suite) -> None:
    edge.executor.signals = signals()
    answers = await asyncio.gather(*(submit(edge, message=str(n)) for n in range(30)))
    assert {one.status_code for one in answers} == {202}
    assert edge.executor.signals_asked < 10


async def test_the_quota_has_gates_kinds_and_promises(edge: Suite) -> None:
    edge.executor.signals = signals(
        queued=3,
        configured_rpm=1200,
        queue_depth=4,
        queued_interactive=3,
        queued_background=1,
        expected_wait_interactive_s=0.3,
        expected_wait_background_s=0.4,
        cooling_s=2,
        cached_ratio=0.5,
    )
    quota = (await edge.client.get("/api/quota")).json()
    assert quota["default_model"] == "small"
    assert quota["kinds"] == {"conversation": {"calls_per_run": 2.0, "seconds_per_run": 3.0}}
    assert quota["promises"] == {"open": 0, "next_s": None}
    gate = quota["models"]["small"]
    assert gate["queued"] == {"interactive": 3, "standard": 0, "background": 1}
    assert gate["expected_wait_s"] == {"interactive": 0.3, "standard": 0.0, "background": 0.4}
    assert (gate["configured_rpm"], gate["effective_rpm"], gate["cooling_s"], gate["cached_ratio"]) == (1200, 600, 2, 0.5)
    assert (gate["shared"], gate["breaker_open"]) == (True, False)
