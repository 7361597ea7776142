"""The edge as a process of its own: what it writes, and what it never does."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from headrace_cli.embedded.program import free_port

KEY = "secret-key-of-nobody-else"
WRONG = "wrong-key-of-nobody-else"


@asynccontextmanager
async def edge(folder: Path) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """A process with one key and nobody behind it; it writes everything that it can."""
    keys = folder / "keys.yaml"
    keys.write_text("- {name: a, tenant: t, key_env: KEY_OF_A}\n")
    port = free_port()
    environment = {
        **os.environ,
        "KEY_OF_A": KEY,
        "HEADRACE_EDGE_API_KEYS_FILE": str(keys),
        "HEADRACE_EDGE_LISTEN": f"127.0.0.1:{port}",
        "HEADRACE_EDGE_LOG_LEVEL": "debug",
        "HEADRACE_EDGE_CALL_RETRY_S": "0",
        "HEADRACE_EDGE_EXECUTOR_TARGET": "127.0.0.1:1",
        "HEADRACE_EDGE_RAG_TARGET": "127.0.0.1:1",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headrace_edge", env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield f"http://127.0.0.1:{port}", process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def said(process: asyncio.subprocess.Process) -> str:
    """All that a process has written, once it has ended in order."""
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        _, written = await process.communicate()
    assert process.returncode == 0
    return written.decode()


async def serving(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await client.get("/api/health/live")
                return
            except httpx.TransportError:
                await asyncio.sleep(0.05)


async def test_no_key_is_written_wherever_a_client_puts_it(tmp_path: Path) -> None:
    async with edge(tmp_path) as (url, process), httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:
        await serving(client)
        statuses = {}
        for key in (KEY, WRONG):
            right = {"Authorization": f"Bearer {key}"}
            statuses[key] = [
                (await client.request(method, path, headers=headers, content=content)).status_code
                for method, path, headers, content in (
                    ("GET", "/api/tasks", right, None),
                    ("GET", f"/api/tasks?api_key={key}&access_token={key}", {}, None),
                    ("GET", f"/api/tasks/{key}", right, None),
                    ("GET", f"/{key}", right, None),
                    ("GET", "/api/tasks", {"Authorization": key, "X-API-Key": key, "Cookie": f"key={key}"}, None),
                    ("GET", "/api/tasks", {**right, "X-Request-ID": f"{key} {key}", "traceparent": key}, None),
                    ("POST", "/api/tasks", {**right, "Content-Type": "application/json"}, f'{{"{key}": "{key}"}}'),
                    ("POST", "/api/tasks", {**right, "Content-Type": key, "Idempotency-Key": f"{key} {key}"}, key),
                )
            ]
        written = await said(process)
    assert statuses[WRONG] == [401] * 8
    assert statuses[KEY] == [503, 401, 503, 404, 401, 503, 422, 415]
    assert KEY not in written
    assert WRONG not in written
    lines = [json.loads(line) for line in written.splitlines()]
    assert sum(line["event"] == "request" and line["route"] != "/api/health/live" for line in lines) == 16
