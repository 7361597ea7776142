"""The suite as a user starts it, `headrace up --detach`, seen through its command and its HTTP API only."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from headrace_cli.embedded import postgres, valkey
from headrace_cli.embedded.program import free_port
from headrace_cli.supervisor import state
from httpx_sse import ServerSentEvent, aconnect_sse

Json = Any
START_S = 120
STOP_S = 60
RUN_S = 90.0
"""Longest that one run may take, kills and takeovers included."""
MODELS = """
default: scripted
models:
  scripted:
    model: openai/scripted
    api_base: {url}
    context_tokens: 32768
    structured: schema
"""
"""One scripted model that sees what a blueprint with many tools needs."""


def headrace(
    home: Path, *arguments: str, timeout_s: float = START_S, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command with a state dir of its own; `env` is added to the environment."""
    return subprocess.run(
        [sys.executable, "-m", "headrace_cli", *arguments],
        env={**environment(home), **(env or {})}, capture_output=True, text=True, timeout=timeout_s, check=False,
    )  # fmt: skip


def environment(home: Path) -> dict[str, str]:
    """What the command runs with. No cache: tests ask the same again and count the calls."""
    return {**os.environ, "HEADRACE_HOME": str(home), "HEADRACE_LLM_CACHE": "false", "COLUMNS": "200", "NO_COLOR": "1"}


@dataclass(frozen=True, slots=True)
class Suite:
    """A running suite."""

    home: Path
    url: str
    key: str = ""
    """The API key of who asks; empty where the edge has no keys."""

    def status(self) -> Json:
        """`headrace status --json`."""
        answer = headrace(self.home, "status", "--json")
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout)

    def pid(self, name: str) -> int:
        """The process of a part."""
        return self.pids()[name]

    def pids(self) -> dict[str, int]:
        """The processes that run now, by name."""
        last = state.StateDir(self.home).read()
        assert last is not None
        return {part.name: part.process.pid for part in last.parts if part.process is not None}

    def kill(self, name: str) -> int:
        """SIGKILL a part and return the pid that it had."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    async def ready(self) -> None:
        """Wait until every part is."""
        async with asyncio.timeout(START_S):
            while any(row["state"] != "ready" for row in (await asyncio.to_thread(self.status))["processes"]):
                await asyncio.sleep(0.2)

    def database_url(self) -> str:
        """Postgres, as the services reach it."""
        return postgres.url(self._port("postgres"), self.home / "secrets" / "postgres")

    def redis_url(self) -> str:
        """Valkey, as the services reach it."""
        return valkey.url(self._port("valkey"), self.home / "secrets" / "valkey")

    def _port(self, name: str) -> int:
        last = state.StateDir(self.home).read()
        assert last is not None
        return next(part.port for part in last.parts if part.name == name)

    async def post(self, path: str, body: Json, **headers: str) -> httpx.Response:
        """POST JSON."""
        async with httpx.AsyncClient(timeout=RUN_S, headers=self._authorization()) as client:
            return await client.post(self.url + path, json=body, headers=headers)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """GET."""
        async with httpx.AsyncClient(timeout=RUN_S, headers=self._authorization()) as client:
            return await client.get(self.url + path, headers=headers)

    async def call(self, method: str, path: str, body: Json = None, **headers: str) -> httpx.Response:
        """Any other call, with a JSON body when there is one."""
        async with httpx.AsyncClient(timeout=RUN_S, headers=self._authorization()) as client:
            return await client.request(method, self.url + path, json=body, headers=headers)

    async def submit(self, body: Json, **headers: str) -> str:
        """Accept a task and return its run id."""
        answer = await self.post("/api/tasks", body, **headers)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["run_id"])

    async def run(self, run_id: str) -> Json:
        """The run once it has ended."""
        async with asyncio.timeout(RUN_S):
            while True:
                try:
                    answer = await self.get(f"/api/tasks/{run_id}?wait=20")
                except httpx.TransportError:
                    await asyncio.sleep(0.1)
                    continue
                if answer.status_code == 200 and answer.json()["status"] not in ("queued", "running"):
                    return answer.json()

    async def events(self, run_id: str, *, after: int = 0) -> AsyncGenerator[ServerSentEvent, None]:
        """The run's events as an EventSource sees them: whatever breaks, it comes back with the last id."""
        last = str(after)
        async with asyncio.timeout(RUN_S):
            while True:
                try:
                    async with aclosing(self._connect(run_id, last)) as events:
                        async for event in events:
                            last = event.id
                            yield event
                            if json.loads(event.data)["type"] in ("RUN_FINISHED", "RUN_ERROR"):
                                return
                except httpx.TransportError:
                    await asyncio.sleep(0.05)

    async def _connect(self, run_id: str, last: str) -> AsyncGenerator[ServerSentEvent, None]:
        url = f"{self.url}/api/tasks/{run_id}/events"
        async with (
            httpx.AsyncClient(timeout=httpx.Timeout(10, read=30), headers=self._authorization()) as client,
            aconnect_sse(client, "GET", url, headers={"Last-Event-ID": last}) as source,
        ):
            if source.response.status_code in (502, 503):
                await asyncio.sleep(0.1)
                return
            assert source.response.status_code == 200, await source.response.aread()
            async for event in source.aiter_sse():
                if event.data:
                    yield event

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    async def begun(self, run_id: str) -> None:
        """Wait for the first text of a run."""
        async with aclosing(self.events(run_id)) as events:
            async for event in events:
                if json.loads(event.data)["type"] == "TEXT_MESSAGE_CONTENT":
                    return

    async def log(self, run_id: str) -> list[Json]:
        """Every event of a run, checked to be numbered 1, 2, 3 …"""
        seen = [event async for event in self.events(run_id)]
        assert [int(event.id) for event in seen] == list(range(1, len(seen) + 1))
        return [json.loads(event.data) for event in seen]


@contextmanager
def running(home: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Suite]:
    """`headrace up --detach`, with `env` for the services, until the end of the block; afterwards nothing of it is left."""
    port = free_port()
    started = headrace(home, "up", "--detach", "--no-question", "--port", str(port), *arguments, env=env)
    try:
        assert started.returncode == 0, started.stderr + started.stdout
        suite = Suite(home, json.loads((home / "state.json").read_text())["url"])
        pids = [row["pid"] for row in suite.status()["processes"]]
        yield suite
        pids += [row["pid"] for row in suite.status()["processes"]]
    finally:
        stopped = headrace(home, "down", timeout_s=STOP_S)
    assert stopped.returncode == 0, stopped.stderr
    left = [pid for pid in pids if pid and psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]
    assert not left, f"still running after down: {left}"
