"""The commands of docs/operations.md as they stand there: a backup, everything gone, the backup restored."""

import asyncio
from pathlib import Path

import pytest

from tests.e2e.kube.cluster import Cluster, until
from tests.e2e.kube.operations import blocks, shell
from tests.e2e.suite import Suite

BODY = {"kind": "conversation", "message": "tell me of mills", "mode": "chat"}


def _two(cluster: Cluster) -> None:
    until(lambda: cluster.executors() == 2, within_s=60, what="the operator's number of executors")


def _pin(cluster: Cluster) -> None:
    cluster.kubectl("scale", f"executorscaler.headrace.dev/{cluster.part('executor')}", "--replicas=2")
    _two(cluster)


def _unpin(cluster: Cluster) -> None:
    name = f"executorscaler.headrace.dev/{cluster.part('executor')}"
    cluster.kubectl("patch", name, "--type=json", '-p=[{"op": "remove", "path": "/spec/replicas"}]')


@pytest.mark.timeout(900)
async def test_what_was_backed_up_is_there_after_a_restore(cluster: Cluster, suite: Suite, tmp_path: Path) -> None:
    backup, restore = blocks("Backup and restore")
    await asyncio.to_thread(_pin, cluster)
    before = await suite.run(await suite.submit(BODY))
    await asyncio.to_thread(shell, cluster, backup, tmp_path)
    lost = await suite.run(await suite.submit(BODY))

    await asyncio.to_thread(shell, cluster, restore, tmp_path)
    await asyncio.to_thread(cluster.ready)

    await asyncio.to_thread(_two, cluster)
    await asyncio.to_thread(_unpin, cluster)
    assert await suite.run(before["run_id"]) == before
    assert (await suite.get(f"/api/tasks/{lost['run_id']}")).status_code == 404
    assert (await suite.run(await suite.submit(BODY)))["status"] == "succeeded"


@pytest.mark.timeout(900)
async def test_the_databases_password_is_changed_without_losing_a_run(
    cluster: Cluster, suite: Suite, tmp_path: Path
) -> None:
    rotation = next(block for block in blocks("Rotation") if "ALTER ROLE" in block)
    before = await suite.run(await suite.submit(BODY))

    await asyncio.to_thread(shell, cluster, rotation, tmp_path)
    await asyncio.to_thread(cluster.ready)

    assert await suite.run(before["run_id"]) == before
    assert (await suite.run(await suite.submit(BODY)))["status"] == "succeeded"
