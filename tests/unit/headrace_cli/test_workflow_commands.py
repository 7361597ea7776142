"""`headrace workflow`, `run`, `page` and `tools` against an edge that keeps and plays what it is given."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from headrace_cli import connection, following
from headrace_cli.main import app
from typer.testing import CliRunner, Result

from tests.support.cli_edge import FakeEdge

Json = Any
runner = CliRunner()

BLUEPRINT: dict[str, Json] = {
    "version": 1,
    "name": "two sums",
    "inputs": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"default": 1}}, "required": ["a"]},
    "nodes": [{"id": "sum", "kind": "compute", "expr": "inputs.a + inputs.b"}],
    "output": "${nodes.sum.output}",
}  # fmt: skip
PAGE = {
    "page_id": "p-1", "version": 2, "current": True, "parent_version": 1, "instruction": "shorter", "title": "Report",
    "created_at": "2026-03-01T10:00:00Z", "slots": [],
}  # fmt: skip
RESULT = {"page": {"page_id": "p-1", "version": 2, "title": "Report", "slots": []}, "output": "short"}


def finished(result: Json = None, **outcome: Json) -> dict[str, Json]:
    how = {"type": "success", **outcome}
    return {"type": "RUN_FINISHED", "threadId": "s-1", "runId": "run-1", "result": result, "outcome": how}


STARTED = {"type": "RUN_STARTED", "threadId": "s-1", "runId": "run-1"}
WRITTEN: list[Mapping[str, Json]] = [
    STARTED,
    {
        "type": "STATE_SNAPSHOT",
        "snapshot": {"blueprint": {"layout": [{"slot": "s", "title": "Summary", "node": "n"}]}, "page": {"slots": {}}},
    },
    {"type": "TEXT_MESSAGE_START", "messageId": "run-1:n", "role": "assistant"},
    {"type": "TEXT_MESSAGE_CONTENT", "messageId": "run-1:n", "delta": "short"},
    {"type": "TEXT_MESSAGE_END", "messageId": "run-1:n"},
    finished(RESULT),
]


@pytest.fixture
def edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEdge:
    fake = FakeEdge()
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HEADRACE_API_KEY", raising=False)
    monkeypatch.setattr(connection, "connect", fake.client)
    return fake


def headrace(*arguments: str, stdin: str | None = None) -> Result:
    return runner.invoke(app, list(arguments), input=stdin)


def written(path: Path, document: Mapping[str, Json]) -> str:
    path.write_text(yaml.safe_dump(dict(document), sort_keys=False) if path.suffix == ".yaml" else json.dumps(document))
    return str(path)


def test_save_makes_it_and_then_replaces_what_it_made(edge: FakeEdge, tmp_path: Path) -> None:
    file = written(tmp_path / "b.yaml", BLUEPRINT)

    assert headrace("workflow", "save", "sums", file, "--description", "Adds.").exit_code == 0
    written(tmp_path / "b.yaml", {**BLUEPRINT, "name": "sums"})
    again = headrace("workflow", "save", "sums", file)

    assert again.exit_code == 0
    assert "revision 2" in again.stderr
    assert edge.workflows["sums"]["name"] == "sums"
    assert edge.workflows["sums"]["description"] == "Adds.", "a save without a description keeps it"


def test_save_never_replaces_what_its_user_has_not_seen(edge: FakeEdge, tmp_path: Path) -> None:
    file = written(tmp_path / "b.json", BLUEPRINT)
    headrace("workflow", "save", "sums", file)
    edge.workflows["sums"] = {**edge.workflows["sums"], "revision": 7, "name": "somebody else's"}

    refused = headrace("workflow", "save", "sums", file)

    assert refused.exit_code == 1
    assert "revision 7" in refused.stderr
    assert "headrace workflow show sums" in refused.stderr
    assert edge.workflows["sums"]["name"] == "somebody else's"
    headrace("workflow", "show", "sums")
    assert headrace("workflow", "save", "sums", file).exit_code == 0
    assert edge.workflows["sums"]["revision"] == 8


def test_one_that_was_there_before_is_replaced_by_force_only(edge: FakeEdge, tmp_path: Path) -> None:
    file = written(tmp_path / "b.json", BLUEPRINT)
    edge.workflows["sums"] = {"revision": 3, "description": "", "name": "old"}

    assert headrace("workflow", "save", "sums", file).exit_code == 1
    assert headrace("workflow", "save", "sums", file, "--force").exit_code == 0
    assert headrace("workflow", "save", "new", file, "--force").exit_code == 0
    assert (edge.workflows["sums"]["revision"], edge.workflows["new"]["revision"]) == (4, 1)


def test_a_workflow_that_was_removed_meanwhile_is_not_made_again_unseen(edge: FakeEdge, tmp_path: Path) -> None:
    file = written(tmp_path / "b.json", BLUEPRINT)
    headrace("workflow", "save", "sums", file)
    edge.workflows.clear()

    assert headrace("workflow", "save", "sums", file).exit_code == 1
    assert not edge.workflows


def test_what_show_writes_can_be_saved_from_standard_input(edge: FakeEdge, tmp_path: Path) -> None:
    headrace("workflow", "save", "sums", written(tmp_path / "b.json", BLUEPRINT))
    shown = headrace("workflow", "show", "sums").stdout

    assert json.loads(shown) == BLUEPRINT
    assert headrace("workflow", "save", "copy", "-", stdin=shown).exit_code == 0
    assert edge.workflows["copy"]["blueprint"] == BLUEPRINT


@pytest.mark.parametrize("command", ["validate", "save"])
def test_every_fault_has_its_line_and_what_to_do(edge: FakeEdge, tmp_path: Path, command: str) -> None:
    file = tmp_path / "b.yaml"
    file.write_text(
        "version: 1\nname: wrong\nnodes:\n  - id: a\n    kind: data\n    tool: calculater\n  - id: b\n    kind: compute\n"
        "    expr: nodes.c.output\noutput: ${nodes.a.output}\n"
    )
    arguments = ["validate", str(file)] if command == "validate" else ["save", "x", str(file)]

    result = headrace("workflow", *arguments)

    assert result.exit_code == 1
    table = result.stdout if command == "validate" else result.stderr
    rows = [line.split() for line in table.splitlines()]
    assert ["6", "/nodes/0/tool"] in [row[:2] for row in rows]
    assert ["9", "/nodes/1/expr"] in [row[:2] for row in rows]
    assert "did you mean 'calculator'?" in table
    assert "2 faults" in table
    assert not edge.workflows


def test_validate_sends_inputs_only_when_there_are_any(edge: FakeEdge, tmp_path: Path) -> None:
    file = written(tmp_path / "b.json", BLUEPRINT)

    assert headrace("workflow", "validate", file).exit_code == 0
    assert headrace("workflow", "validate", file, "-i", "a=3").exit_code == 0

    assert edge.bodies("POST", "/api/workflows/validate") == [
        {"blueprint": BLUEPRINT},
        {"blueprint": BLUEPRINT, "inputs": {"a": 3}},
    ]


def test_list_goes_on_to_the_last_page_and_names_the_inputs(edge: FakeEdge, tmp_path: Path) -> None:
    file = written(tmp_path / "b.json", BLUEPRINT)
    for name in ("one", "two", "three"):
        headrace("workflow", "save", name, file)

    listed = headrace("workflow", "list").stdout

    assert [line.split()[0] for line in listed.splitlines()[1:]] == ["one", "three", "two"]
    assert "a [b]" in listed
    assert len(json.loads(headrace("workflow", "list", "--json").stdout)) == 3


def test_run_gives_the_inputs_of_the_file_and_over_them_those_of_the_line(edge: FakeEdge, tmp_path: Path) -> None:
    edge.runs.append(WRITTEN)
    inputs = tmp_path / "inputs.yaml"
    inputs.write_text("a: 1\nday: 2026-03-01\n")

    result = headrace("workflow", "run", "sums", "--inputs-file", str(inputs), "--inputs", "a=2", "-i", "who=Ada")

    assert result.exit_code == 0
    assert edge.bodies("POST", "/api/workflows/sums/runs") == [{"inputs": {"a": 2, "day": "2026-03-01", "who": "Ada"}}]
    assert result.stdout == "\n## Summary\n\nshort\n"
    assert "headrace page show p-1" in result.stderr


def test_a_page_that_a_chat_has_made_is_named(edge: FakeEdge) -> None:
    edge.runs.append(WRITTEN)

    result = headrace("chat", "--mode", "build", "a report")

    assert result.stdout == "\n## Summary\n\nshort\n"
    assert "headrace page show p-1" in result.stderr


@pytest.mark.parametrize(
    ("form", "expected"),
    [("markdown", "# Report\n"), ("html", "<h1>Report</h1>\n"), ("json", json.dumps(RESULT, indent=2) + "\n")],
)
def test_a_format_is_all_that_goes_to_standard_output(edge: FakeEdge, form: str, expected: str) -> None:
    edge.runs.append(WRITTEN)
    edge.pages["p-1"] = PAGE

    result = headrace("workflow", "run", "sums", "--format", form)

    assert result.exit_code == 0
    assert result.stdout == expected


def test_a_run_without_a_page_cannot_be_html_and_says_what_can_be_had(edge: FakeEdge) -> None:
    edge.runs.append([STARTED, finished({"page": None, "output": 42})])

    result = headrace("workflow", "run", "sums", "--format", "html")

    assert result.exit_code == 1
    assert "--format json" in result.stderr


def test_a_blueprint_of_ones_own_runs_too_and_its_failure_is_the_exit_code(edge: FakeEdge, tmp_path: Path) -> None:
    edge.runs += [[STARTED, finished({"output": 3})], [STARTED, {"type": "RUN_ERROR", "code": "tool", "message": "away"}]]
    file = written(tmp_path / "b.json", BLUEPRINT)

    good, bad = headrace("run", file, "-i", "a=2"), headrace("run", file, "-i", "a=2")

    assert (good.exit_code, good.stdout) == (0, "3\n")
    assert bad.exit_code == 1
    assert "tool: away" in bad.stderr
    assert edge.bodies("POST", "/api/tasks")[0] == {"kind": "page", "blueprint": BLUEPRINT, "inputs": {"a": 2}}


def test_delete_asks_first_and_what_is_removed_can_be_made_anew(edge: FakeEdge, tmp_path: Path) -> None:
    file = written(tmp_path / "b.json", BLUEPRINT)
    headrace("workflow", "save", "sums", file)

    assert headrace("workflow", "delete", "sums", stdin="n\n").exit_code == 1
    assert "sums" in edge.workflows
    assert headrace("workflow", "delete", "sums", "--yes").exit_code == 0
    assert headrace("workflow", "save", "sums", file).exit_code == 0


def test_the_schema_goes_to_standard_output(edge: FakeEdge) -> None:
    assert json.loads(headrace("workflow", "schema").stdout) == {"$id": "blueprint"}


def test_a_page_is_written_as_it_is_where_there_is_no_terminal(edge: FakeEdge) -> None:
    edge.pages["p-1"] = PAGE

    assert headrace("page", "show", "p-1").stdout == "# Report\n"
    assert headrace("page", "show", "p-1", "--format", "html", "--version", "1").stdout == "<h1>Report</h1>\n"
    assert json.loads(headrace("page", "show", "p-1", "--format", "json").stdout) == PAGE
    assert "/api/pages/p-1?format=html&version=1" in [path for _, path, _ in edge.requests]
    assert headrace("page", "show", "p-2").exit_code == 1


def test_a_page_opens_in_the_browser_from_a_file_of_the_state_dir(
    edge: FakeEdge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("typer.launch", opened.append)
    edge.pages["p-1"] = PAGE

    assert headrace("page", "show", "p-1", "--open").exit_code == 0

    (file,) = opened
    assert Path(file).read_text() == "<h1>Report</h1>\n"
    assert Path(file).is_relative_to(tmp_path / "home")


def test_a_page_is_changed_by_a_sentence_and_the_change_taken_back(edge: FakeEdge) -> None:
    edge.pages["p-1"] = PAGE
    edge.runs += [WRITTEN, WRITTEN]

    changed = headrace("page", "patch", "p-1", "make the summary shorter")
    versions = headrace("page", "versions", "p-1").stdout
    undone = headrace("page", "undo", "p-1")
    chosen = headrace("page", "undo", "p-1", "--version", "4")
    headrace("page", "patch", "p-1", "longer", "--seen", "2")
    headrace("page", "undo", "p-1", "--seen", "3")

    assert changed.exit_code == 0
    assert edge.bodies("POST", "/api/page/patch") == [
        {"page_id": "p-1", "instruction": "make the summary shorter"},
        {"page_id": "p-1", "instruction": "longer", "version": 2},
    ]
    assert "2 current" in versions
    assert "shorter" in versions
    assert "version 1 is the current one" in undone.stderr
    assert "version 4 is the current one" in chosen.stderr
    assert edge.bodies("POST", "/api/pages/p-1/restore") == [{}, {"version": 4}, {"expected_version": 3}]


def test_tools_are_listed_with_kind_connector_and_arguments(edge: FakeEdge) -> None:
    schema = {"type": "object", "properties": {"id": {}, "limit": {}}, "required": ["id"]}
    school = {"name": "school", "protocol": "openapi"}
    edge.skills = [
        {"name": "chat", "kind": "mode", "description": "Answers.", "input_schema": None},
        {"name": "calculator", "kind": "tool", "description": "Adds.", "input_schema": schema},
        {
            "name": "school.get", "kind": "connector", "connector": school, "description": "Reads.", "input_schema": schema,
        },
        {"name": "sums", "kind": "workflow", "description": "Saved.", "input_schema": {}},
    ]  # fmt: skip

    lines = headrace("tools").stdout.splitlines()[1:]

    assert [line.split() for line in lines] == [
        ["calculator", "tool", "id", "[limit]", "Adds."],
        ["school.get", "openapi", "school", "id", "[limit]", "Reads."],
    ]


def test_a_question_that_is_asked_back_is_answered_by_a_run_that_resumes(
    edge: FakeEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {
        "id": "run-1:0", "reason": "clarification", "message": "Which class is “3B”?",
        "responseSchema": {"type": "string", "enum": ["c-j3b", "c-s3b"]},
        "metadata": {"candidates": [{"id": "c-j3b", "name": "3B", "grade": 9}, {"id": "c-s3b", "name": "3B", "grade": 12}]},
    }  # fmt: skip
    edge.runs += [[STARTED, finished(type="interrupt", interrupts=[asked])], [STARTED, finished({"reply": "done"})]]
    typed = iter(["3B", "2"])

    async def type_it(prompt: str) -> str:
        return next(typed)

    monkeypatch.setattr("headrace_cli.commands.chat._typed", type_it)
    monkeypatch.setattr("headrace_cli.commands.chat._has_terminal", lambda: True)
    result = headrace("chat", "report on 3B")

    assert (result.exit_code, result.stdout) == (0, "done\n")
    assert "2. 3B (grade 12) [c-s3b]" in result.stderr
    assert edge.bodies("POST", "/api/conversation/stream")[1] == {
        "resume": [{"interrupt_id": "run-1:0", "status": "resolved", "payload": "c-s3b"}],
        "mode": "auto",
        "session_id": "s-1",
    }


def test_without_a_terminal_a_question_is_shown_and_ends_with_a_code_of_its_own(edge: FakeEdge) -> None:
    asked = {"id": "run-1:0", "message": "Which class?", "metadata": {"candidates": [{"id": "c-j3b", "name": "3B"}]}}
    edge.runs.append([STARTED, finished(type="interrupt", interrupts=[asked])])

    result = headrace("chat", "report on 3B")

    assert result.exit_code == following.EXIT_CODES["interrupt"] == 4
    assert "1. 3B [c-j3b]" in result.stderr
    assert "--session s-1" in result.stderr
