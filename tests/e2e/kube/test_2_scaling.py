"""Executors come by what the queue needs and the quota can feed, and go when neither does."""

import asyncio
import math
import time

from tests.e2e.kube.cluster import Cluster, until
from tests.e2e.suite import Suite

GROWS_S, SHRINKS_S = 15.0, 180.0
BODY = {"kind": "conversation", "message": "tell me of mills", "mode": "chat", "priority": "background"}
SLOW = {"latency": {"first_token_s": 3.0, "sigma": 0.2}}


async def test_sixty_queued_runs_bring_executors_and_their_end_takes_them_away(cluster: Cluster, suite: Suite) -> None:
    until(lambda: cluster.executors() == 1, within_s=SHRINKS_S, what="one executor at rest")
    await asyncio.to_thread(cluster.provider, SLOW)

    run_ids = await asyncio.gather(*(suite.submit({**BODY, "message": f"mill {n}"}) for n in range(60)))
    queued = time.monotonic()
    await asyncio.to_thread(until, lambda: cluster.executors() > 1, within_s=60, what="a second executor")
    took_s = time.monotonic() - queued
    most = 0
    running = asyncio.gather(*(suite.run(run_id) for run_id in run_ids))
    while not running.done():
        status = (await asyncio.to_thread(cluster.scaler))["status"]
        most = max(most, await asyncio.to_thread(cluster.executors))
        if status.get("quota") is not None and status["limitedBy"] != "Rate":
            assert status["desiredReplicas"] <= max(1, status["quota"]), status
        await asyncio.sleep(0.5)
    await asyncio.to_thread(until, lambda: cluster.executors() == 1, within_s=SHRINKS_S, what="one executor again")

    print(f"\na second executor after {took_s:.1f} s, {most} at most;", cluster.kubectl("get", "executorscalers"))
    assert {run["status"] for run in await running} == {"succeeded"}
    assert took_s < GROWS_S
    events = [one["message"] for one in cluster.get("events")["items"] if one["involvedObject"]["kind"] == "ExecutorScaler"]
    assert any("60" in message or "queued" in message for message in events), events


async def test_a_storm_of_429s_holds_the_scale(cluster: Cluster, suite: Suite) -> None:
    until(lambda: cluster.executors() == 1, within_s=SHRINKS_S, what="one executor at rest")
    await asyncio.to_thread(
        cluster.provider, {"rpm": 30, "retry_after": "none"}
    )  # what was configured is twenty times too high

    run_ids = await asyncio.gather(*(suite.submit({**BODY, "message": f"storm {n}"}) for n in range(40)))
    storm = await asyncio.to_thread(
        until, lambda: (s := cluster.scaler()["status"]).get("limitedBy") in ("Throttling", "Quota") and s,
        within_s=90, what="a scale that is limited by 429s or by the quota",
    )  # fmt: skip
    held = await asyncio.to_thread(cluster.executors)
    books = await asyncio.to_thread(cluster.provider_books)
    await asyncio.to_thread(cluster.provider, {"rpm": 600})
    ended = await asyncio.gather(*(suite.run(run_id) for run_id in run_ids))

    refused = f"{books['total']['refused']} of {books['total']['arrivals']} calls refused"
    print(f"\nthe storm: {storm['limitedBy']}, {held} executors; {refused}")
    assert books["total"]["refused"] > 0
    assert held <= max(1, storm.get("quota") or math.inf)
    assert {run["status"] for run in ended} == {"succeeded"}


def test_a_pin_a_pause_and_the_way_back(cluster: Cluster) -> None:
    name = f"executorscaler.headrace.dev/{cluster.part('executor')}"
    cluster.kubectl("scale", name, "--replicas=2")
    until(lambda: cluster.executors() == 2, within_s=30, what="the pin")
    assert until(lambda: (s := cluster.scaler()["status"])["limitedBy"] == "Pinned" and s, within_s=30, what="Pinned")
    cluster.kubectl("annotate", name, "headrace.dev/paused=true")
    until(lambda: cluster.scaler()["status"]["limitedBy"] == "Paused", within_s=30, what="the pause")
    cluster.kubectl("patch", name, "--type=json", '-p=[{"op": "remove", "path": "/spec/replicas"}]')
    cluster.kubectl("annotate", name, "headrace.dev/paused-")
    until(lambda: cluster.executors() == 1, within_s=SHRINKS_S, what="one executor again")
