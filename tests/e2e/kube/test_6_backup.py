"""The commands of docs/operations.md as they stand there: a backup, everything gone, the backup restored."""

import asyncio
from pathlib import Path

import pytest

from tests.e2e.kube.cluster import Cluster
from tests.e2e.kube.operations import blocks, shell
from tests.e2e.suite import Suite

BODY = {"kind": "conversation", "message": "tell me of mills", "mode": "chat"}


@pytest.mark.timeout(900)
async def test_what_was_backed_up_is_there_after_a_restore(cluster: Cluster, suite: Suite, tmp_path: Path) -> None:
    backup, restore = blocks("Backup and restore")
    before = await suite.run(await suite.submit(BODY))
    await asyncio.to_thread(shell, cluster, backup, tmp_path)
    lost = await suite.run(await suite.submit(BODY))

    await asyncio.to_thread(shell, cluster, restore, tmp_path)
    await asyncio.to_thread(cluster.ready)

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
