"""The example school as tests use it: its tools, what it answers by its records alone, and the example as a process."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from examples.school import records
from tests.support import blueprints

Json = Any
ROOT = Path(__file__).parents[2]
SCHOOL = ROOT / "examples" / "school"
WORKFLOWS = sorted(path.stem for path in (SCHOOL / "workflows").glob("*.json"))
TOKEN = "a-token-of-the-test"
READY_S = 90.0
"""Serving and saving three workflows, on a busy machine."""


def document(name: str) -> Json:
    """A workflow's blueprint."""
    return json.loads((SCHOOL / "workflows" / f"{name}.json").read_text())


def spec() -> Json:
    """The committed OpenAPI document."""
    return json.loads((SCHOOL / "openapi.json").read_text())


def tools() -> Mapping[str, Json]:
    """What the openapi connector makes of the document: a tool for each operation, its parameters the arguments."""
    found = {}
    for path in spec()["paths"].values():
        for operation in path.values():
            given = operation.get("parameters", [])
            found[f"school.{operation['operationId']}"] = {
                "type": "object",
                "properties": {one["name"]: one["schema"] for one in given},
                "required": [one["name"] for one in given if one.get("required")],
                "additionalProperties": False,
            }
    return found


def served(tool: str, args: Mapping[str, Json]) -> Json:
    """What the service answers, worked out from the records alone."""
    term, subject = args.get("term"), args.get("subject")
    match tool.removeprefix("school."):
        case "get_class":
            return next(one._asdict() for one in records.CLASSES if one.id == args["class_id"])
        case "list_students":
            items = [
                {"id": one.id, "name": one.name, "class_id": one.class_id, "seat": one.seat}
                for one in records.students(args["class_id"])
            ]
            return {"items": items[: args["limit"]], "total": len(items), "next_offset": None}
        case "list_topics":
            topics = [{"subject": name, "topic": one} for name, all_of in records.SUBJECTS.items() for one in all_of]
            return {"items": [one for one in topics if subject in (None, one["subject"])]}
        case "list_marks":
            student = records.student(args["student_id"])
            assert student is not None
            kept = [one for one in records.marks(student.id) if one.term == term and subject in (None, one.subject)]
            items = [{"topic": one.topic, "subject": one.subject, "term": one.term, "score": one.score} for one in kept]
            return {"items": items, "student_id": student.id, "student_name": student.name}
        case _:
            raise AssertionError(tool)


def computed(name: str, **inputs: Json) -> Mapping[str, Json]:
    """What a workflow's nodes have for output; a compose node its prompt."""
    return blueprints.outputs(document(name), inputs=inputs, tools=tools(), call=served)


def tools_file(path: Path, port: int, *, tenant: str = "") -> Path:
    """The example's tools.yaml for a school on another port; with `tenant` for that one only."""
    value = yaml.safe_load((SCHOOL / "tools.yaml").read_text())
    value["connectors"]["school"] |= {"base_url": f"http://127.0.0.1:{port}", "spec": str(SCHOOL / "openapi.json")}
    if tenant:
        value = {"version": value.pop("version"), "tenants": {tenant: value}}
    path.write_text(yaml.safe_dump(value, sort_keys=False))
    return path


@contextmanager
def running(port: int, env: Mapping[str, str], *arguments: str) -> Iterator[str]:
    """The example as `make school` starts it, until the end of the block; yields what it said until it was ready."""
    command = [sys.executable, "-m", "examples.school", "--port", str(port), *arguments]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**env, "SCHOOL_TOKEN": TOKEN}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    watchdog = threading.Timer(READY_S, process.kill)
    watchdog.start()
    try:
        said: list[str] = []
        for line in process.stdout:
            said.append(line)
            if "Ctrl-C ends it" in line:
                break
        else:
            raise AssertionError("the school ended early: " + "".join(said))
        watchdog.cancel()
        yield "".join(said)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
