"""Pods go, everything is upgraded and restarted, in the middle of runs: no run is lost, no event lost or doubled,
nothing forgotten that was to be remembered.
"""

import asyncio
from collections.abc import Callable

import pytest

from tests.e2e.kube.cluster import Cluster
from tests.e2e.suite import Suite
from tests.e2e.test_memory import FACTS, begin, search
from tests.support import agui

BODY = {"kind": "conversation", "message": "tell me of mills", "mode": "chat"}
LONG = {"latency": {"first_token_s": 1.0, "sigma": 0.2, "tokens_per_s": 25}, "answer": {"tokens": 300, "sigma": 0.2}}
"""Answers of some twelve seconds, streamed."""
RUNS = 6
ALLERGIES = "我对什么食物过敏？"
ASKED = {"kind": "conversation", "message": f"{ALLERGIES} calculator expression=6*7", "mode": "chat"}
"""The simulated model calls the tools that a message names, with the arguments that it gives."""


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


@pytest.mark.timeout(300)
async def test_a_memory_is_in_an_answer_that_calls_a_tool_and_outlives_its_executor(cluster: Cluster, suite: Suite) -> None:
    path = await begin(suite)
    for key, fact in FACTS.items():
        assert (await suite.call("PUT", f"{path}/{key}", fact)).status_code == 201
    written = (await suite.get(f"{path}/food")).json()
    found = await search(suite, path, ALLERGIES)

    session = path.split("/")[3]
    run_id = await suite.submit({**ASKED, "session_id": session, "tools": ["calculator"], "memory": {"top_k": 1}})
    log = await suite.log(run_id)
    await asyncio.to_thread(cluster.kill, "executor")
    await asyncio.to_thread(cluster.ready)
    run = await suite.run(run_id)
    again = await search(suite, path, ALLERGIES)

    agui.check(log)
    assert run["output"]["reply"] == 'The tools say: {"value":42,"text":"42"}'
    (recalled,) = [event["value"] for event in log if event.get("name") == "headrace.recalled"]
    assert ([one["key"] for one in recalled["memories"]], recalled["warnings"]) == (["food"], [])
    assert (found["items"][0]["key"], found["pending"]) == ("food", 0)
    assert again["items"] == found["items"]
    assert (await suite.get(f"{path}/food")).json() == written
