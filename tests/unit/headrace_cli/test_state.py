"""The state file, the lock beside it, and telling a process from a later one with its pid."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from headrace_cli.errors import AlreadyUp, CliError
from headrace_cli.supervisor import state
from headrace_cli.supervisor.state import Identity, PartPhase, PartRecord, Phase, State, StateDir

PART = PartRecord(name="edge", phase=PartPhase.READY, port=8080, log="/l", stop_signal=15, stop_rank=0, embedded=False)


@pytest.fixture
def directory(tmp_path: Path) -> StateDir:
    made = StateDir(tmp_path / "home")
    made.make()
    return made


def _state() -> State:
    own = state.identify(os.getpid())
    assert own is not None
    return State(phase=Phase.READY, supervisor=own, url="http://127.0.0.1:8080", parts=(PART,))


def test_what_was_written_is_read(directory: StateDir) -> None:
    directory.write(_state())

    assert directory.read() == _state()
    assert [path.name for path in directory.home.glob("state*")] == ["state.json"]


def test_no_file_is_no_state(directory: StateDir) -> None:
    assert directory.read() is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"phase": "ready"}', '{"phase": "dancing"}'])
def test_a_broken_file_is_one_clear_line(directory: StateDir, content: str) -> None:
    directory.file.write_text(content)

    with pytest.raises(CliError, match=r"state\.json cannot be read") as caught:
        directory.read()
    assert "\n" not in str(caught.value)


def test_a_newer_field_does_not_make_the_file_unreadable(directory: StateDir) -> None:
    directory.file.write_text(_state().model_dump_json().replace('"version":1', '"version":1,"later":true'))

    assert directory.read() == _state()


def test_passwords_are_for_their_owner_only(directory: StateDir) -> None:
    assert directory.secrets.stat().st_mode & 0o077 == 0


def test_a_live_process_is_found_and_a_dead_one_is_not() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        identity = state.identify(child.pid)
        found = state.alive(identity)
        assert found is not None
        assert found.pid == child.pid
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert state.alive(identity) is None, "a zombie has ended"
    assert state.alive(identity) is None


def test_another_process_with_the_same_pid_is_foreign() -> None:
    own = state.identify(os.getpid())
    assert own is not None

    assert state.alive(Identity(pid=own.pid, started_s=own.started_s - 60)) is None


def test_a_state_dir_has_one_supervisor(directory: StateDir) -> None:
    directory.write(_state())

    with directory.lock():
        with pytest.raises(AlreadyUp, match=r"already up at http://127\.0\.0\.1:8080"), directory.lock():
            pass
    with directory.lock():
        assert directory.read() is not None
