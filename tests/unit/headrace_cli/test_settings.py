"""Where the command keeps its files."""

from pathlib import Path

import pytest
from headrace_cli.settings import state_home

CHECKOUT = '[project]\nname = "headrace-workspace"\n'


def test_headrace_home_wins(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(CHECKOUT)

    assert state_home(tmp_path / "x", tmp_path) == tmp_path / "x"


def test_a_checkout_keeps_its_state_inside(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(CHECKOUT)

    assert state_home(None, tmp_path) == tmp_path / ".headrace"


@pytest.mark.parametrize("project", [None, '[project]\nname = "other"\n', "broken", "[tool.x]\n"])
def test_elsewhere_it_is_the_users_state_folder(tmp_path: Path, project: str | None) -> None:
    if project is not None:
        (tmp_path / "pyproject.toml").write_text(project)

    home = state_home(None, tmp_path)

    assert tmp_path not in home.parents
    assert home.name == "headrace"
