"""Tools given to the installed suite as docs/operations.md says, a saved workflow that calls them, its page, one sentence's
change, and an executor that is killed in the middle of a map.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.kube.cluster import Cluster, mebibytes, until
from tests.e2e.kube.operations import blocks, shell
from tests.e2e.suite import Json, Suite
from tests.support import agui

SERVER = Path("examples/mcp/server.py")
PROVIDER = "http://headrace-simulator:8090"
INSIDE = {"base_url": PROVIDER, "allow_hosts": ["headrace-simulator"]}
TOOLS: Json = {
    "version": 1,
    "connectors": {
        "desk": {
            **INSIDE,
            "kind": "http",
            "auth": {"kind": "bearer", "secret": "SCHOOL_TOKEN"},
            "tools": {
                "ask": {
                    "description": "A text on something.",
                    "method": "POST",
                    "path": "/v1/chat/completions",
                    "args": {
                        "type": "object",
                        "properties": {
                            "model": {"type": "string"},
                            "tag": {"type": "string"},
                            "messages": {"type": "array"},
                        },
                        "required": ["model", "tag", "messages"],
                        "additionalProperties": False,
                    },
                    "headers": {"X-Simulator-Tag": "tag"},
                    "result": "/choices/0/message/content",
                    "idempotent": True,
                }
            },
        },
        "books": {**INSIDE, "kind": "openapi", "spec": "./openapi.json"},
        "notes": {"kind": "mcp", "command": ["python", "server.py"]},
        "closed": {
            "kind": "http",
            "base_url": PROVIDER,
            "tools": {"health": {"description": "Whether it answers.", "path": "/health"}},
        },
    },
}
"""One connector of each kind, and one that may not go where it would. The provider counts `desk.ask` by its tag."""
SPEC: Json = {
    "openapi": "3.1.0",
    "info": {"title": "Books", "version": "1"},
    "paths": {"/report": {"get": {"operationId": "report", "responses": {"200": {"description": "The books."}}}}},
}
ITEMS, CONCURRENCY, KILL_AFTER = 24, 4, 8
"""Of the map; and its items that are done when the executor is killed."""
IDLE_PART = 0.75
"""Of its memory limit, that an executor with a server in its pod may take at rest."""
SHRINKS_S = 180.0
DESK: Json = {
    "version": 1,
    "name": "Desk",
    "inputs": {"type": "object", "properties": {"topic": {"type": "string"}}, "required": ["topic"]},
    "nodes": [
        {"id": "books", "kind": "data", "tool": "books.report"},
        {"id": "calls", "kind": "compute", "expr": "nodes.books.output.total.arrivals"},
        {"id": "note", "kind": "data", "tool": "notes.add", "args": {"text": "${inputs.topic}"}},
        {"id": "closed", "kind": "data", "tool": "closed.health", "on_error": "continue"},
        {
            "id": "numbers",
            "kind": "compute",
            "expr": f"{list(range(ITEMS))}.map(n, inputs.topic + ' ' + string(n))",
        },
        {
            "id": "answers",
            "kind": "map",
            "over": "${nodes.numbers.output}",
            "concurrency": CONCURRENCY,
            "node": {
                "id": "answer",
                "kind": "data",
                "tool": "desk.ask",
                "args": {"model": "desk", "tag": "${item}", "messages": [{"role": "user", "content": "${item}"}]},
            },
        },
        {"id": "summary", "kind": "compose", "prompt": "Sum up: ${nodes.answers.output}"},
        {"id": "advice", "kind": "compose", "prompt": "Advise on ${inputs.topic}."},
    ],
    "layout": [
        {"slot": "calls", "title": "Calls", "node": "calls"},
        {"slot": "note", "title": "Note", "node": "note"},
        {"slot": "closed", "title": "Closed", "node": "closed"},
        {"slot": "answers", "title": "Answers", "node": "answers"},
        {"slot": "summary", "title": "Summary", "node": "summary"},
        {"slot": "advice", "title": "Advice", "node": "advice"},
    ],
    "output": "${nodes.answers.output}",
}

GREEDY: Json = {
    "version": 1,
    "name": "Greedy",
    "inputs": {"properties": {"list": {"type": "array"}, "text": {"type": "string"}}, "required": ["list", "text"]},
    "nodes": [
        {"id": "all", "kind": "compute", "expr": "inputs.list.map(n, inputs.text + string(n))", "on_error": "continue"}
    ],
    "output": "${nodes.all.output}",
}
MUCH: Json = {"list": list(range(3000)), "text": "x" * 200_000}
"""600 MB for the expression, were it let."""
GREEDY_RUNS = 16
OOM_KILLS = """
from pathlib import Path
files = [Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control")]
lines = [line.split() for file in files if file.exists() for line in file.read_text().splitlines()]
print([int(count) for name, count in lines if name == "oom_kill"])
"""


@pytest.fixture(scope="module")
def tools(installed: tuple[Cluster, float], tmp_path_factory: pytest.TempPathFactory) -> None:
    """The files in a folder, and there the commands of the documentation."""
    cluster, folder = installed[0], tmp_path_factory.mktemp("tools")
    (folder / "helm").symlink_to(Path("helm").resolve())
    (folder / "tools.yaml").write_text(yaml.safe_dump(TOOLS))
    (folder / "openapi.json").write_text(json.dumps(SPEC))
    (values,) = (yaml.safe_load(block) for block in blocks("Tools", "yaml"))
    values["executor"]["toolFiles"] = {"server.py": SERVER.read_text()}
    (folder / "tools-values.yaml").write_text(yaml.safe_dump(values))
    before = cluster.memory_mib()
    (commands,) = blocks("Tools")
    shell(cluster, commands.replace("token=…", "token=a-token-of-the-test"), folder)
    cluster.ready()
    after = cluster.memory_mib()
    print("\nexecutors without tools:", executors(before), "MiB; with each kind and a server in the pod:", executors(after))


def executors(memory: Mapping[str, float]) -> list[int]:
    return [round(mib) for pod, mib in memory.items() if "-executor-" in pod]


async def started(suite: Suite, topic: str) -> str:
    accepted = await suite.post("/api/workflows/desk/runs", {"inputs": {"topic": topic}})
    assert accepted.status_code == 202, accepted.text
    return str(accepted.json()["run_id"])


async def saved(suite: Suite) -> None:
    found = await suite.get("/api/workflows/desk")
    condition = {"If-Match": found.headers["etag"]} if found.status_code == 200 else {"If-None-Match": "*"}
    answer = await suite.call("PUT", "/api/workflows/desk", {"blueprint": DESK}, **condition)
    assert answer.status_code in (200, 201), answer.text


def finished(events: Sequence[Mapping[str, Any]]) -> list[str]:
    """Items of the map that were done, not cut."""
    return [
        event["stepName"]
        for event in events
        if event["type"] == "STEP_FINISHED"
        and event["stepName"].startswith("node:answers[")
        and (event.get("metadata") or {}).get("done") is not False
    ]


def accepted(books: Json) -> Counter[str]:
    """Calls that the provider took, by model."""
    found: Counter[str] = Counter()
    for account in books["accounts"]:
        found[account["model"]] += account["accepted"]
    return found


def slots(page: Json) -> dict[str, Json]:
    return {one["slot"]: one for one in page["slots"]}


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("tools")
async def test_each_connectors_tools_are_there_and_the_pod_keeps_within_its_memory(cluster: Cluster, suite: Suite) -> None:
    listed = {one["name"] for one in (await suite.get("/skills")).json()["skills"]}
    memory = await asyncio.to_thread(cluster.memory_mib)
    limits = {
        pod["metadata"]["name"]: mebibytes(pod["spec"]["containers"][0]["resources"]["limits"]["memory"])
        for pod in cluster.pods("executor")
    }

    assert {"desk.ask", "books.report", "notes.add", "notes.search", "closed.health", "calculator"} <= listed
    assert limits
    assert all(memory[pod] < limit * IDLE_PART for pod, limit in limits.items()), memory


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("tools")
async def test_a_saved_workflow_becomes_a_page_and_one_sentence_changes_one_slot(cluster: Cluster, suite: Suite) -> None:
    await saved(suite)
    run_id = await started(suite, "wheel")
    events = await suite.log(run_id)
    run = await suite.run(run_id)
    agui.check(events)
    assert run["status"] == "succeeded", run["error"]
    before = await page(suite, run)
    before_calls = accepted(await asyncio.to_thread(cluster.provider_books))

    instruction = {"kind": "patch", "page_id": before["page_id"], "instruction": "make the summary shorter"}
    patched = await suite.run(await suite.submit(instruction))
    assert patched["status"] == "succeeded", patched["error"]
    after = await page(suite, patched)
    called = accepted(await asyncio.to_thread(cluster.provider_books))

    was, is_ = slots(before), slots(after)
    assert was["note"]["value"]["text"] == "wheel"
    assert was["closed"]["gap"]["code"] == "tool"
    assert len(was["answers"]["value"]) == ITEMS
    assert all(was["answers"]["value"])
    assert {name for name in was if is_[name] != was[name]} == {"summary"}
    assert (after["version"], after["parent_version"]) == (2, 1)
    assert called - before_calls == {"simulated": 1}, "one compose call"


async def page(suite: Suite, run: Json) -> Json:
    answer = await suite.get(f"/api/pages/{run['output']['page']['page_id']}")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("tools")
async def test_a_killed_executors_map_ends_with_each_item_once(cluster: Cluster, suite: Suite) -> None:
    await asyncio.to_thread(
        until, lambda: len(cluster.pods("executor")) == 1, within_s=SHRINKS_S, what="one executor, so that it has the run"
    )
    await saved(suite)
    run_id = await started(suite, "race")
    events: list[Json] = []
    before: list[str] = []
    async for event in suite.events(run_id):
        events.append(json.loads(event.data))
        if not before and len(finished(events)) >= KILL_AFTER:
            before = finished(events)
            await asyncio.to_thread(cluster.kill, "executor")
    run = await suite.run(run_id)
    tags = (await asyncio.to_thread(cluster.provider_books))["tags"]
    await asyncio.to_thread(cluster.ready)

    agui.check(events)
    assert (run["status"], run["attempt"]) == ("succeeded", 2), run["error"]
    assert sorted(finished(events)) == sorted(f"node:answers[{at}]" for at in range(ITEMS)), "each item ends once"
    calls = [tags[f"race {at}"]["accepted"] for at in range(ITEMS)]
    again = {f"node:answers[{at}]" for at, count in enumerate(calls) if count > 1}
    print(f"\n{len(before)} of {ITEMS} items done when the executor was killed; asked again: {sorted(again)}")
    assert min(calls) == 1
    assert max(calls) <= 2
    assert not again & set(before), "what was done was not done again"
    assert len(again) <= CONCURRENCY
    assert len(run["output"]["output"]) == ITEMS
    assert all(run["output"]["output"])


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("tools")
async def test_expressions_that_want_all_memory_end_their_workers_and_not_the_pod(cluster: Cluster, suite: Suite) -> None:
    before = await asyncio.to_thread(cluster.restarts)
    body = {"kind": "page", "blueprint": GREEDY, "inputs": MUCH}
    run_ids = await asyncio.gather(*(suite.submit(body) for _ in range(GREEDY_RUNS)))
    runs = await asyncio.gather(*(suite.run(run_id) for run_id in run_ids))
    after = await asyncio.to_thread(cluster.restarts)

    assert {(run["status"], run["attempt"], run["output"]["output"]) for run in runs} == {("succeeded", 1, None)}
    assert {name: after[name] for name in before if name in after} == {
        name: before[name] for name in before if name in after
    }
    for pod in await asyncio.to_thread(cluster.pods, "executor"):
        assert json.loads(await asyncio.to_thread(cluster.python, pod["metadata"]["name"], OOM_KILLS)) == [0]
