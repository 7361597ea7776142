"""Pods go, everything is upgraded and restarted, in the middle of runs: no run is lost, no event lost or doubled."""

import asyncio
from collections.abc import Callable

import pytest

from tests.e2e.kube.cluster import Cluster
from tests.e2e.suite import Suite
from tests.support import agui

BODY = {"kind": "conversation", "message": "tell me of mills", "mode": "chat"}
LONG = {"latency": {"first_token_s": 1.0, "sigma": 0.2, "tokens_per_s": 25}, "answer": {"tokens": 300, "sigma": 0.2}}
"""Answers of some twelve seconds, streamed."""
RUNS = 6


def _kill_an_executor(cluster: Cluster) -> None:
    cluster.kill("executor")


def _drain_an_executor(cluster: Cluster) -> None:
    cluster.kubectl("delete", "pod", cluster.pods("executor")[0]["metadata"]["name"], "--wait=false")


def _upgrade(cluster: Cluster) -> None:
    cluster.upgrade("logLevel=warning")


def _restart(cluster: Cluster) -> None:
    for workload in cluster.workloads():
        cluster.kubectl("rollout", "restart", workload)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("disturb", [_kill_an_executor, _drain_an_executor, _upgrade, _restart])
async def test_runs_in_mid_stream_go_on(cluster: Cluster, suite: Suite, disturb: Callable[[Cluster], None]) -> None:
    await asyncio.to_thread(cluster.provider, LONG)
    run_ids = await asyncio.gather(*(suite.submit(BODY) for _ in range(RUNS)))
    watchers = [asyncio.create_task(suite.log(run_id)) for run_id in run_ids]
    await suite.begun(run_ids[0])

    await asyncio.to_thread(disturb, cluster)
    logs = await asyncio.gather(*watchers)
    await asyncio.to_thread(cluster.ready)

    for run_id, log in zip(run_ids, logs, strict=True):
        agui.check(log)
        assert log[-1]["type"] == "RUN_FINISHED", log[-1]
        assert await suite.log(run_id) == log
        assert (await suite.run(run_id))["status"] == "succeeded"
