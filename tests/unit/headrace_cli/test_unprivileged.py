"""As root the servers run as another user, who must be able to reach their files."""

import os
import pwd
from pathlib import Path

import pytest
from headrace_cli.embedded import unprivileged

from tests.support.folders import open_folder

root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def test_everything_is_reachable_to_oneself(tmp_path: Path) -> None:
    assert unprivileged.reachable(tmp_path / "data", None)


def test_a_folder_that_is_closed_to_others_hides_what_is_in_it() -> None:
    with open_folder() as folder:
        assert unprivileged.reachable(folder / "data", "nobody")
        folder.chmod(0o700)
        assert unprivileged.reachable(folder / "data", "nobody") == (os.geteuid() == pwd.getpwnam("nobody").pw_uid)


@root
def test_data_goes_where_the_server_can_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_folder() as folder:
        monkeypatch.setattr(unprivileged, "SHARED_HOME", folder / "shared")
        closed = folder / "closed"
        closed.mkdir(mode=0o700)

        data = unprivileged.data_folder(closed / "data", "nobody")

        assert folder / "shared" in data.parents
        assert data.stat().st_uid == pwd.getpwnam("nobody").pw_uid
        assert unprivileged.data_folder(closed / "data", "nobody") == data
        assert unprivileged.data_folder(folder / "open", "nobody") == folder / "open"


@root
def test_programs_are_copied_once_where_the_server_cannot_reach_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_folder() as folder:
        monkeypatch.setattr(unprivileged, "SHARED_HOME", folder / "shared")
        programs = folder / "closed" / "programs"
        programs.mkdir(parents=True)
        (programs / "server").write_text("run me")
        assert unprivileged.readable_copy(programs, "1", "nobody") == programs
        programs.parent.chmod(0o700)

        copy = unprivileged.readable_copy(programs, "1", "nobody")

        assert copy != programs
        assert (copy / "server").read_text() == "run me"
        assert unprivileged.readable_copy(programs, "1", "nobody") == copy
