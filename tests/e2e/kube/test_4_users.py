"""Twenty-five users at once: nobody is turned away for good, nothing is killed or started again."""

import asyncio
import os
import random
from collections import Counter

import httpx
import pytest

from tests.e2e.kube.cluster import Cluster
from tests.e2e.suite import Suite

USERS, SECONDS, THINK_S = 25, float(os.environ.get("HEADRACE_E2E_SECONDS", "300")), 15.0


@pytest.mark.timeout(SECONDS + 300)
async def test_five_minutes_of_users_kill_nothing(cluster: Cluster, suite: Suite) -> None:
    await asyncio.to_thread(cluster.ready)
    before = await asyncio.to_thread(cluster.restarts)
    end = asyncio.get_running_loop().time() + SECONDS
    outcomes: Counter[str] = Counter()

    async def user(number: int) -> None:
        chance = random.Random(number)
        async with httpx.AsyncClient(timeout=120, headers={"Authorization": f"Bearer {suite.key}"}) as client:
            while asyncio.get_running_loop().time() < end:
                body = {"message": f"user {number} asks {chance.random()}", "mode": "chat"}
                answer = await client.post(f"{suite.url}/api/conversation", json=body)
                outcomes[str(answer.status_code)] += 1
                if answer.status_code == 429:
                    await asyncio.sleep(float(answer.headers["retry-after"]))
                else:
                    assert answer.status_code == 200, answer.text
                await asyncio.sleep(chance.expovariate(1 / THINK_S))

    await asyncio.gather(*map(user, range(USERS)))
    after = await asyncio.to_thread(cluster.restarts)
    memory = await asyncio.to_thread(cluster.memory_mib)

    print(f"\n{USERS} users, {SECONDS:.0f} s: {dict(outcomes)}; memory {sum(memory.values()):.0f} MiB")
    assert outcomes["200"] > SECONDS
    assert {name: after[name] for name in before if name in after} == {
        name: before[name] for name in before if name in after
    }
    for pod in cluster.pods():
        for one in pod["status"]["containerStatuses"]:
            assert one.get("lastState", {}).get("terminated", {}).get("reason") != "OOMKilled", pod["metadata"]["name"]
