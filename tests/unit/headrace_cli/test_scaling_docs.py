"""docs/scaling.md says what is so."""

import dataclasses
import re
import shlex
from pathlib import Path

import pytest
from headrace_cli.main import app
from headrace_cli.supervisor.autoscale_settings import AutoscaleSettings
from headrace_operator.model import LimitedBy, Spec
from typer.testing import CliRunner

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs/scaling.md").read_text()
COMMANDS = re.findall(r"```\n(headrace simulate-scaling .*)\n```\n```\n([^`]*)```\n!\[[^]]*\]\((.*)\)", TEXT)


def section(title: str) -> str:
    return TEXT.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_there_are_two_commands() -> None:
    assert len(COMMANDS) == 2


@pytest.mark.parametrize(("command", "table", "plot"), COMMANDS)
def test_each_command_prints_and_draws_what_the_page_shows(
    command: str, table: str, plot: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    drawn = tmp_path / "plot.svg"
    result = CliRunner().invoke(app, [*shlex.split(command)[1:], "--plot", str(drawn)], env={"COLUMNS": "100"})
    assert result.exit_code == 0, result.output
    assert [line.rstrip() for line in result.stdout.splitlines()] == [line.rstrip() for line in table.splitlines()]
    assert drawn.read_text() == (ROOT / "docs" / plot).read_text()


def test_every_limit_is_explained() -> None:
    named = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", section("Reading limitedBy"), re.MULTILINE))))
    assert named == set(LimitedBy)


def test_every_field_is_explained_with_its_default() -> None:
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|", section("What it does with it"), re.MULTILINE)
    named = {name for cell, _ in rows for name in re.findall(r"`(\w+)`", cell)}
    assert named == {one.name for one in dataclasses.fields(Spec)} - {"pinned", "paused", "model"}
    told = dict(rows)
    spec = Spec()
    for name in ("headroom", "throttled_above", "tolerance"):
        assert float(told[f"`{name}`"]) == getattr(spec, name)
    assert told["`min_replicas`, `max_replicas`"] == f"{spec.min_replicas}, {spec.max_replicas}"
    for name in ("up", "down"):
        one = getattr(spec, name)
        assert told[f"`{name}`"] == f"window {one.stabilization_s:g} s, {one.max_step} in {one.period_s:g} s"
    for name in ("max_age_s", "backoff_s"):
        assert told[f"`{name}`"] == f"{getattr(spec, name):g} s"


def test_every_setting_of_autoscale_is_named() -> None:
    rows = re.findall(r"^\| (`.*?) \|", section("headrace up --autoscale"), re.MULTILINE)
    named = {name for cell in rows for name in re.findall(r"`([A-Z_]+)`", cell)} - {"HEADRACE_AUTOSCALE_"}
    assert named == {name.upper() for name in AutoscaleSettings.model_fields}
