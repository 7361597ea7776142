"""The quota as users meet it: too much demand, a model that breaks off, a budget that is spent, a store that is killed.

The suite runs on two simulated providers, with API keys of three tenants.
"""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from headrace_cli.embedded.program import free_port

from tests.e2e import suite as suites
from tests.e2e.suite import Json, Suite
from tests.support.folders import open_folder
from tests.support.simulator_server import SimulatorServer, simulator_server

RPM = 300
OFFERED = 40
"""Runs that are submitted at once; four times what the patience lets in."""
RETURNS = 4
"""A refused run is given up by its test after so many refusals: a promise that is not kept is an exception."""
KEYS = {"school": "school-key-0123456789", "club": "club-key-0123456789", "poor": "poor-key-0123456789"}
SETTINGS = {
    "HEADRACE_EDGE_ADMISSION_PATIENCE_INTERACTIVE_S": "2",
    "HEADRACE_EDGE_ADMISSION_CALLS_PER_RUN": "1",
    "HEADRACE_EDGE_ADMISSION_SIGNALS_TIMEOUT_S": "30",
    "HEADRACE_EDGE_ADMISSION_STALE_S": "60",
    "PROVIDER_KEY": "simulated",
}
"""A short patience; and a busy machine's late signals count as well."""
MODELS = """
default: limited
models:
  limited:
    model: openai/limited
    api_base: {first}
    api_key_env: PROVIDER_KEY
    limits: {{rpm: {rpm}}}
  fragile:
    model: openai/fragile
    api_base: {first}
    api_key_env: PROVIDER_KEY
    fallbacks: [second]
  second:
    model: openai/second
    api_base: {second}
    api_key_env: PROVIDER_KEY
tenants:
  poor: {{daily: {{calls: 1}}}}
"""


@dataclass(frozen=True, slots=True)
class Site:
    """The suite and its two providers."""

    suite: Suite
    first: SimulatorServer
    second: SimulatorServer

    def of(self, tenant: str) -> Suite:
        """The suite as one tenant sees it."""
        return replace(self.suite, key=KEYS[tenant])


@pytest.fixture(scope="module")
def _site() -> Iterator[Site]:
    with open_folder() as home, simulator_server(free_port()) as first, simulator_server(free_port()) as second:
        models, keys = home / "models.yaml", home / "keys.yaml"
        models.write_text(MODELS.format(first=first.base_url, second=second.base_url, rpm=RPM))
        _write_keys(keys)
        env = SETTINGS | {"HEADRACE_EDGE_API_KEYS_FILE": str(keys)} | {f"KEY_{name}": key for name, key in KEYS.items()}
        with suites.running(home / "state", "--models", str(models), "--executors", "2", env=env) as suite:
            yield Site(suite, first, second)


@pytest.fixture
async def site(_site: Site) -> Site:
    """Every part ready, the providers without faults and with empty books."""
    await _site.suite.ready()
    for provider in (_site.first, _site.second):
        provider.change(faults={"cut": 0}, enforcement="sliding_minute")
        provider.reset()
    return _site


def _write_keys(path: Path) -> None:
    path.write_text(
        json.dumps(
            [{"name": name, "tenant": name, "key_env": f"KEY_{name}", "requests_per_minute": 60_000} for name in KEYS]
        )
    )


def _question(text: str, model: str = "limited") -> Json:
    return {"kind": "conversation", "mode": "chat", "message": text, "model": model, "priority": "interactive"}


async def _persistent(suite: Suite, number: int) -> tuple[list[httpx.Response], Json]:
    """Submit, come back when told, and wait for the run: every refusal, and the run."""
    refusals: list[httpx.Response] = []
    while True:
        name = f"mill-{number}"
        answer = await suite.post("/api/tasks", _question(f"What does {name} do?"), **{"Idempotency-Key": name})
        if answer.status_code == httpx.codes.ACCEPTED:
            return refusals, await suite.run(answer.json()["run_id"])
        refusals.append(answer)
        assert len(refusals) <= RETURNS, answer.text
        await asyncio.sleep(int(answer.headers["Retry-After"]))


async def test_who_is_refused_under_overload_is_told_when_to_come_back_and_then_served(site: Site) -> None:
    school = site.of("school")
    told = await asyncio.gather(*(_persistent(school, number) for number in range(OFFERED)))
    refused = [answer for answers, _ in told for answer in answers]
    runs = [run for _, run in told]
    books = site.first.report()["total"]

    assert 0 < sum(bool(answers) for answers, _ in told) < OFFERED
    for answer in refused:
        problem = answer.json()
        assert answer.status_code == httpx.codes.TOO_MANY_REQUESTS
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert problem["type"].endswith("limit-quota")
        assert problem["promised"] is True
        assert problem["queue"]["expected_wait_s"] > 0
    assert [run["status"] for run in runs] == ["succeeded"] * OFFERED
    assert (books["accepted"], books["refused"]) == (OFFERED, 0)


async def test_a_model_that_breaks_off_is_followed_by_the_next_in_a_new_message(site: Site) -> None:
    site.first.change(faults={"cut": 1})
    school = site.of("school")
    run_id = await school.submit(_question("What does a mill that stops do?", "fragile"))
    log = await school.log(run_id)
    run = await school.run(run_id)
    starts = [event["messageId"] for event in log if event["type"] == "TEXT_MESSAGE_START"]
    void = [event["value"]["message_id"] for event in log if event.get("name") == "headrace.restarted"]
    said = "".join(event["delta"] for event in log if event.get("messageId") == starts[-1] and "delta" in event)

    assert len(starts) == len(set(starts))
    assert void == starts[:-1]
    assert void
    assert [event["type"] for event in log if event["type"] in ("RUN_FINISHED", "RUN_ERROR")] == ["RUN_FINISHED"]
    assert run["output"]["reply"] == said
    assert set(run["usage"]["models"]) == {"fragile", "second"}
    assert site.second.report()["total"]["ended"]["completed"] == 1


async def test_a_spent_budget_refuses_its_tenant_alone_and_before_the_call(site: Site) -> None:
    poor, school = site.of("poor"), site.of("school")
    chat = {"model": "second", "messages": [{"role": "user", "content": "What does a mill cost?"}]}
    answers = [await poor.post("/v1/chat/completions", chat) for _ in range(2)]
    run = await poor.post("/api/tasks", _question("And a wheel?"))
    other = await school.post("/v1/chat/completions", chat)
    books = site.second.report()["total"]
    budget = (await poor.get("/api/usage")).json()["budget"]["daily"]["calls"]
    error, problem = answers[-1].json()["error"], run.json()

    assert [answer.status_code for answer in answers] == [200, 429]
    assert error["code"] == "insufficient_quota"
    assert "tenants.poor.daily.calls" in error["message"]
    assert (run.status_code, problem["type"].rpartition(":")[2]) == (429, "budget-spent")
    assert int(run.headers["Retry-After"]) > 0
    assert budget == {"limit": 1, "used": 1}
    assert other.status_code == httpx.codes.OK
    assert books["accepted"] == 2


async def test_a_store_that_hangs_and_dies_holds_up_no_run_and_health_tells_of_it(site: Site) -> None:
    school = site.of("school")
    first_pid = site.suite.pid("valkey")
    os.kill(first_pid, signal.SIGSTOP)
    try:
        submitted = [await school.submit(_question(f"What does wheel {number} do?")) for number in range(5)]
        await _health(school, "degraded")
        ended = await asyncio.gather(*(school.run(run_id) for run_id in submitted))
    finally:
        os.kill(first_pid, signal.SIGKILL)
    await _health(school, "ok")
    later = await school.run(await school.submit(_question("And now?")))

    assert [run["status"] for run in [*ended, later]] == ["succeeded"] * 6
    assert site.suite.pid("valkey") != first_pid


async def _health(suite: Suite, wanted: str) -> None:
    async with asyncio.timeout(suites.RUN_S):
        while (await suite.get("/api/health")).json()["status"] != wanted:
            await asyncio.sleep(0.1)
