"""`headrace up --autoscale`: executors come with the queue, go when it is empty, and no run is lost on the way."""

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e import suite as suites
from tests.e2e.suite import Json, Suite
from tests.support.folders import open_folder

MOST = 3
SETTINGS = {
    "HEADRACE_EXECUTOR_SLOTS": "2",
    "HEADRACE_SIMULATOR_LATENCY__FIRST_TOKEN_S": "1.5",
    "HEADRACE_AUTOSCALE_INTERVAL_S": "0.5",
    "HEADRACE_AUTOSCALE_DOWN_WINDOW_S": "3",
    "HEADRACE_AUTOSCALE_DOWN_PERIOD_S": "1",
    "HEADRACE_AUTOSCALE_UP_PERIOD_S": "1",
}
RUNS = 40
WAIT_S = 90.0


@pytest.fixture
def suite() -> Iterator[Suite]:
    with open_folder() as home:
        arguments = ("--provider", "simulated", "--rpm", "600", "--autoscale", "--executors-max", str(MOST))
        with suites.running(home / "state", *arguments, env=SETTINGS) as running:
            yield running


def executors(status: Json) -> list[str]:
    return [row["name"] for row in status["processes"] if re.match(r"executor\b", row["name"])]


async def until(suite: Suite, reached: Callable[[Json], bool]) -> Json:
    async with asyncio.timeout(WAIT_S):
        while not reached(status := await asyncio.to_thread(suite.status)):
            await asyncio.sleep(0.3)
    return status


@pytest.mark.timeout(400)
async def test_executors_come_with_the_queue_and_go_without_it_and_no_run_is_lost(suite: Suite) -> None:
    before = await until(suite, lambda status: status["scale"] is not None)
    assert executors(before) == ["executor-1"]

    body = {"kind": "conversation", "message": "tell me", "mode": "chat"}
    run_ids = await asyncio.gather(*(suite.submit(body) for _ in range(RUNS)))
    wide = await until(suite, lambda status: len(executors(status)) >= 2)
    assert 2 <= wide["scale"]["replicas"] <= MOST
    assert "runs / 2 slots" in wide["scale"]["message"]

    ended = [await suite.run(run_id) for run_id in run_ids]
    assert [one["status"] for one in ended] == ["succeeded"] * RUNS

    narrow = await until(suite, lambda status: len(executors(status)) == 1)
    assert narrow["scale"]["replicas"] == 1
    assert all(row["state"] == "ready" for row in narrow["processes"])
    again = await suite.submit(body)
    assert (await suite.run(again))["status"] == "succeeded"

    said = Path(suite.home / "logs/supervisor.log").read_text()
    assert re.search(r"executors 1 → [23], limited by \w+: demand \d+ \(\d+ runs / 2 slots\)", said)
    assert re.search(r"executors \d → 1, limited by \w+", said)
