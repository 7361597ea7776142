"""The commands' options and what they refuse."""

from pathlib import Path

import pytest
from headrace_cli.commands.chat import Mode, Talk, command
from headrace_cli.documents import parse_pairs, read
from headrace_cli.errors import CliError
from headrace_cli.main import HELP, app
from typer.testing import CliRunner

runner = CliRunner()


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HEADRACE_URL", raising=False)


@pytest.mark.parametrize(
    "name",
    ["up", "down", "status", "logs", "chat", "run", "workflow", "page", "tools", "docs", "usage", "quota", "capacity"],
)
def test_the_help_names_every_command_and_each_explains_itself(name: str) -> None:
    assert name in runner.invoke(app, ["--help"]).output
    assert runner.invoke(app, [name, "--help"]).exit_code == 0


def test_the_help_shows_how_to_begin() -> None:
    output = runner.invoke(app, ["--help"]).output

    assert "headrace up" in output
    assert "--provider dashscope/qwen-max" in output


def test_the_examples_of_the_help_fit_a_terminal() -> None:
    assert max(len(line) for line in HELP.splitlines()) <= 78


@pytest.mark.parametrize(
    "arguments",
    [["chat", "hi"], ["docs", "search", "x"], ["logs"], ["usage"], ["quota"], ["quota", "--watch", "--json"]],
)
def test_with_nothing_up_a_command_says_so_in_one_line_and_what_to_do(arguments: list[str]) -> None:
    result = runner.invoke(app, arguments)

    assert result.exit_code == 1
    assert "headrace up" in result.stderr
    assert "Traceback" not in result.output


def test_down_is_idempotent() -> None:
    for _ in range(2):
        result = runner.invoke(app, ["down"])
        assert result.exit_code == 0
        assert "nothing is up" in result.stderr


def test_status_of_nothing_is_json_too_and_exit_code_3() -> None:
    result = runner.invoke(app, ["status", "--json"])

    assert result.exit_code == 3
    assert result.stdout == '{"phase": "down", "processes": []}\n'


def test_provider_and_models_exclude_each_other(tmp_path: Path) -> None:
    result = runner.invoke(app, ["up", "--provider", "a/b", "--models", str(tmp_path / "m.yaml")])

    assert result.exit_code == 1
    assert "exclude each other" in result.stderr


def test_every_fault_of_a_models_file_is_shown_before_anything_is_started(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text("models:\n  a: {model: nonsense}\n  b: {colour: red}\n")

    result = runner.invoke(app, ["up", "--models", str(file)])

    assert result.exit_code == 1
    assert "models.a.model" in result.stderr
    assert "colour" in result.stderr
    assert not (tmp_path / "home").exists()


def test_inputs_are_json_or_text() -> None:
    assert parse_pairs(["n=3", "name=Ada", "list=[1]", "eq=a=b", "empty="]) == {
        "n": 3,
        "name": "Ada",
        "list": [1],
        "eq": "a=b",
        "empty": "",
    }
    for wrong in ("n", "=3"):
        with pytest.raises(CliError, match="KEY=VALUE"):
            parse_pairs([wrong])


@pytest.mark.parametrize("text", ['{"version": 1}', "version: 1\n"])
def test_a_blueprint_is_json_or_yaml(tmp_path: Path, text: str) -> None:
    file = tmp_path / "b"
    file.write_text(text)

    assert read(file).value == {"version": 1}


@pytest.mark.parametrize("text", ["[1]", "a: [", "\x00", ""])
def test_what_is_no_blueprint_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "b"
    file.write_text(text)

    with pytest.raises(CliError):
        read(file)


def test_lines_with_a_slash_change_the_conversation() -> None:
    talk = Talk(session="s")

    assert command(talk, "/mode qa") == (Talk(mode=Mode.QA, session="s"), "mode qa")
    assert command(talk, "/new") == (Talk(), "a new session")
    changed = command(talk, "/mode dance")
    assert changed is not None
    assert changed[0] == talk
    assert command(talk, "/explain this") is None
    assert command(talk, "/tools school.* calculator") == (
        Talk(session="s", tools=("school.*", "calculator")),
        "tools school.* calculator",
    )
    assert command(Talk(tools=("time",)), "/tools") == (Talk(), "tools none")


def test_a_message_carries_only_what_was_given() -> None:
    assert Talk().body("hi") == {"message": "hi", "mode": "auto"}
    assert Talk(Mode.QA, "s", "w", "m").body("hi") == {
        "message": "hi", "mode": "qa", "session_id": "s", "workspace": "w", "model": "m",
    }  # fmt: skip
