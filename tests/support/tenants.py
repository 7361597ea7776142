"""A whole house for tenants: a real edge with keys before a real executor and a real rag service on one Postgres."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from headrace_edge import server
from headrace_edge.settings import Settings
from headrace_executor.durable import Stores
from headrace_executor.engine.pipeline import RunPipeline
from headrace_executor.ports import Patched
from headrace_llm.usage import Usage
from headrace_tools.model import EntitySource

from tests.support import rag
from tests.support.executor_durable import Executor, executor, settings
from tests.support.executor_fakes import FakeCel, FakePlanner, FakeRag, FakeRouter
from tests.support.models import ScriptedModels
from tests.support.rag import Rag
from tests.support.toolbox import FakeToolbox, tool

OWNER, STRANGER = "key-of-the-owner-000000", "key-of-a-stranger-00000"
SECRET = "heron"
"""In everything that the owner has, and in no id, word of ours or request of the stranger."""
BLUEPRINT: Mapping[str, Any] = {
    "version": 1,
    "name": f"the {SECRET} report",
    "nodes": [{"id": "a", "kind": "compute", "expr": f"'{SECRET}'"}],
    "layout": [{"slot": "s", "title": "S", "node": "a"}],
    "output": "${nodes.a.output}",
}
CLASSES = [{"id": 31, "name": "3B"}, {"id": 32, "name": "3B"}]


@dataclass
class House:
    """What a test needs of it."""

    owner: httpx.AsyncClient
    stranger: httpx.AsyncClient
    executor: Executor
    rag: Rag


@asynccontextmanager
async def house(postgres_url: str, folder: Path) -> AsyncIterator[House]:
    """Two tenants, `owner` and `stranger`, each with a key for everything but metrics."""
    keys = folder / "keys.yaml"
    keys.write_text(_entry("owner", OWNER) + _entry("stranger", STRANGER))
    async with AsyncExitStack() as stack:
        documents = await stack.enter_async_context(rag.running(postgres_url, ScriptedModels(otherwise=rag.obedient)))
        one = await stack.enter_async_context(executor(settings(postgres_url), _pipeline))
        edge = Settings(
            listen="127.0.0.1:0",
            executor_target=one.target,
            rag_target=documents.target,
            api_keys_file=keys,
            drain_s=5,
        )
        sock = server.bind(edge.listen)
        await stack.enter_async_context(server.serving(edge, sock))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        owner, stranger = [
            await stack.enter_async_context(
                httpx.AsyncClient(base_url=url, timeout=30, trust_env=False, headers={"Authorization": f"Bearer {key}"})
            )
            for key in (OWNER, STRANGER)
        ]
        yield House(owner, stranger, one, documents)


def _entry(tenant: str, key: str) -> str:
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f'- {{name: {tenant}, tenant: {tenant}, key_sha256: "{digest}", requests_per_minute: 10000}}\n'


def _pipeline(stores: Stores) -> RunPipeline:
    """The real engine; a message with 3B in it must ask back."""
    return RunPipeline(
        router=FakeRouter("build"),
        planner=FakePlanner(BLUEPRINT, patched=Patched(BLUEPRINT, {}, ("a",), (), "model", (), Usage())),
        rag=FakeRag(),
        models=ScriptedModels(),
        sessions=stores.sessions,
        interruptions=stores.interruptions,
        workflows=stores.workflows,
        pages=stores.pages,
        cel=FakeCel(),
        toolbox=FakeToolbox(
            [tool("school.classes")],
            {"school.classes": lambda _: CLASSES},
            [EntitySource("class", "school.classes", {}, "", "id", ("name",))],
        ),
    )


async def ended(client: httpx.AsyncClient, body: Any, **headers: str) -> Any:
    """A run of a task, once it has succeeded."""
    answer = await client.post("/api/tasks", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    async with asyncio.timeout(30):
        while True:
            run = (await client.get(f"/api/tasks/{answer.json()['run_id']}?wait=10")).json()
            if run["status"] not in ("queued", "running"):
                assert run["status"] == "succeeded", run
                return run


async def furnish(house: House) -> Mapping[str, str]:
    """Give the owner one of everything, and the stranger a session: their names."""
    saved = await house.owner.put("/api/workflows/owners-report", json={"blueprint": BLUEPRINT, "description": SECRET})
    assert saved.status_code == 201, saved.text
    made = await ended(house.owner, {"kind": "page", "workflow_id": "owners-report"}, **{"Idempotency-Key": "same"})
    asking = await ended(house.owner, {"kind": "conversation", "message": f"A {SECRET} report for 3B"})
    assert asking["output"]["interrupts"]
    remembered = await house.owner.put(
        f"/api/sessions/{asking['session_id']}/memory/owners-memory", json={"value": f"The {SECRET} is a bird."}
    )
    assert remembered.status_code == 201, remembered.text
    await house.rag.of("owner").ingest("owners-document", f"The {SECRET} is a bird.", workspace="owners-workspace")
    await house.rag.of("owner").ingest("owners-document", f"The {SECRET} is a bird.", title=SECRET)
    listed = (await house.owner.get("/api/tasks?limit=1")).json()
    mine = (await house.stranger.post("/api/sessions", json={})).json()["session_id"]
    return {
        "run": made["run_id"],
        "session": asking["session_id"],
        "asking": asking["run_id"],
        "page": made["output"]["page"]["page_id"],
        "workflow": "owners-report",
        "document": "owners-document",
        "memory": "owners-memory",
        "workspace": "owners-workspace",
        "cursor": listed["next_cursor"],
        "mine": mine,
    }
