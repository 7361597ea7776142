"""The executor as the process that it is: its start, kill -9, SIGTERM. Real Postgres and Valkey; no model is asked."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc
from headrace.executor.v1 import executor_pb2 as pb
from headrace.executor.v1 import executor_pb2_grpc as pb_grpc
from headrace_cli.embedded import program
from headrace_runtime import channels

READY_S = 40.0
TAKEN_OVER_S = 30.0
"""A bound for a slow machine; a quiet one needs less than five."""
BLUEPRINT = {
    "version": 1,
    "name": "sum",
    "inputs": {"type": "object"},
    "nodes": [
        {"id": "a", "kind": "data", "tool": "calculator", "args": {"expression": "2 * 3"}},
        {"id": "b", "kind": "compute", "expr": "nodes.a.output.value == 6 || true"},
    ],
    "output": "${nodes.b.output}",
}


@asynccontextmanager
async def process(folder: Path, postgres_url: str, redis_url: str, **fields: str) -> AsyncIterator[tuple[Any, Any]]:
    """A serving executor and a stub to it."""
    models = folder / "models.yaml"
    models.write_text(yaml.safe_dump({"models": {"none": {"model": "openai/none", "api_base": "http://127.0.0.1:1/v1"}}}))
    listen = f"127.0.0.1:{program.free_port()}"
    env = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")} | {
        "HEADRACE_LLM_MODELS_FILE": str(models),
        "HEADRACE_LLM_REDIS_URL": redis_url,
        "HEADRACE_EXECUTOR_LISTEN": listen,
        "HEADRACE_EXECUTOR_DATABASE_URL": postgres_url,
        "HEADRACE_EXECUTOR_REDIS_URL": redis_url,
        **{f"HEADRACE_EXECUTOR_{name.upper()}": value for name, value in fields.items()},
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headrace_executor", env=env, stderr=asyncio.subprocess.PIPE
    )
    channel = channels.open_channel(listen)
    try:
        health = health_pb2_grpc.HealthStub(channel)
        await health.Check(health_pb2.HealthCheckRequest(), timeout=READY_S, wait_for_ready=True)
        yield child, pb_grpc.ExecutorServiceStub(channel)
    finally:
        await channel.close(None)
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.communicate()


async def submit(stub: Any, **fields: Any) -> pb.Run:
    body = orjson.dumps({"blueprint": BLUEPRINT})
    request = pb.SubmitRunRequest(tenant_id="t", kind=pb.RUN_KIND_PAGE, body=body, **fields)
    answer: pb.SubmitRunResponse = await stub.SubmitRun(request, timeout=20)
    return answer.run


async def test_a_run_that_its_killed_owner_left_is_finished_by_another_process(
    tmp_path: Path, postgres_url: str, redis_url: str
) -> None:
    """Routing waits for a router that is not there, so the run is under way when its owner dies."""
    target = {"router_target": "127.0.0.1:1"}
    async with process(tmp_path, postgres_url, redis_url, **target) as (dying, first):
        body = orjson.dumps({"message": "hello"})
        request = pb.SubmitRunRequest(tenant_id="t", kind=pb.RUN_KIND_CONVERSATION, body=body)
        run = (await first.SubmitRun(request, timeout=20)).run
        async with process(tmp_path, postgres_url, redis_url, **target) as (_, second):
            watching = second.WatchRun(pb.WatchRunRequest(tenant_id="t", run_id=run.run_id), timeout=60)
            dying.kill()
            async with asyncio.timeout(TAKEN_OVER_S):
                async for answer in watching:
                    said = [orjson.loads(event.data) for event in answer.events]
                    if any(event.get("name") == "headrace.restarted" for event in said):
                        break
            watching.cancel()
            await second.CancelRun(pb.CancelRunRequest(tenant_id="t", run_id=run.run_id), timeout=20)
            got = await second.GetRun(pb.GetRunRequest(tenant_id="t", run_id=run.run_id, wait_s=20), timeout=30)
            assert (got.run.state, got.run.attempt) == (pb.RUN_STATE_CANCELLED, 2)


async def test_sigterm_ends_the_process_with_code_0_once_its_runs_are_done(
    tmp_path: Path, postgres_url: str, redis_url: str
) -> None:
    async with process(tmp_path, postgres_url, redis_url) as (child, stub):
        run = await submit(stub)
        got = await stub.GetRun(pb.GetRunRequest(tenant_id="t", run_id=run.run_id, wait_s=20), timeout=30)
        assert got.run.state == pb.RUN_STATE_SUCCEEDED, got.run.error
        child.terminate()
        async with asyncio.timeout(20):
            _, logged = await child.communicate()
        assert child.returncode == 0, logged.decode()
        lines = [orjson.loads(line) for line in logged.splitlines()]
        assert {"serving", "draining", "stopped"} <= {line["event"] for line in lines}
        assert not [line for line in lines if line["level"] == "error"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [({"lease_s": "2"}, "lease_s must be at least 2.5 times"), ({"slots": "0"}, "HEADRACE_EXECUTOR_SLOTS")],
)
async def test_a_wrong_setting_is_one_line_and_code_2(fields: dict[str, str], says: str) -> None:
    env = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
    env |= {f"HEADRACE_EXECUTOR_{name.upper()}": value for name, value in fields.items()}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headrace_executor", env=env, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(READY_S):
        _, logged = await child.communicate()
    assert child.returncode == 2
    assert says in logged.decode()
    assert len(logged.splitlines()) == 1
