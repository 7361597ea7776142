"""The tools.yaml of `headrace up --tools`, before anything is started, and its way to the executors."""

from pathlib import Path

import pytest
from headrace_cli.errors import CliError
from headrace_cli.supervisor import plan, tools_files

FILE = """\
version: 1
connectors:
  school: {kind: openapi, spec: ./openapi.json, auth: {kind: bearer, secret: SCHOOL_TOKEN}}
"""


def test_the_path_is_absolute_so_that_every_executor_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tools.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)

    assert tools_files.checked(Path("tools.yaml"), {"SCHOOL_TOKEN": "t"}) == tmp_path / "tools.yaml"


@pytest.mark.parametrize("environ", [{}, {"SCHOOL_TOKEN": ""}])
def test_a_secret_that_nobody_has_set_is_named_before_anything_starts(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "tools.yaml").write_text(FILE)

    with pytest.raises(CliError, match=r"tools\.yaml:3: .*SCHOOL_TOKEN"):
        tools_files.checked(tmp_path / "tools.yaml", environ)


@pytest.mark.parametrize(
    "text", ["a: [", "- 1", "", "version: 1\nconnectorz: {}\n", "version: 1\nconnectors: {a: {kind: ftp}}\n"]
)
def test_what_is_no_tools_file_is_refused_with_the_place(tmp_path: Path, text: str) -> None:
    (tmp_path / "tools.yaml").write_text(text)

    with pytest.raises(CliError, match=r"tools\.yaml:\d+: "):
        tools_files.checked(tmp_path / "tools.yaml", {})


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    mcp = "  notes: {kind: mcp, command: [python, server.py], env: {TOKEN: NOTES_TOKEN}}\n"
    (tmp_path / "tools.yaml").write_text(FILE + mcp)

    with pytest.raises(CliError, match="SCHOOL_TOKEN") as caught:
        tools_files.checked(tmp_path / "tools.yaml", {})
    assert "NOTES_TOKEN" in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="cannot be read"):
        tools_files.checked(tmp_path / "tools.yaml", {})


def test_the_executors_alone_read_it() -> None:
    layout = plan.Layout(8080, 1, 2, 3, (4, 5))
    parts = plan.services(layout, plan.Backing("db", "redis", "models.yaml", "/x/tools.yaml"))

    told = {part.name for part in parts if part.program.env.get("HEADRACE_EXECUTOR_TOOLS_FILE") == "/x/tools.yaml"}
    assert told == {"executor-1", "executor-2"}
    without = plan.services(layout, plan.Backing("db", "redis", "models.yaml"))
    assert not any("HEADRACE_EXECUTOR_TOOLS_FILE" in part.program.env for part in without)
