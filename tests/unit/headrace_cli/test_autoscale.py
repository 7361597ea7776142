"""`headrace up --autoscale`: who goes first, what is told, what may be set."""

from typing import Any

import pytest
from headrace.executor.v1 import executor_pb2 as pb
from headrace_cli.errors import CliError
from headrace_cli.main import app
from headrace_cli.progress import scale_lines
from headrace_cli.report import scale_line
from headrace_cli.supervisor import autoscale, autoscale_settings
from headrace_cli.supervisor.state import PartPhase, PartRecord, ScaleRecord
from headrace_operator.model import Spec
from typer.testing import CliRunner


def record(number: int, phase: PartPhase = PartPhase.READY, **changes: Any) -> PartRecord:
    return PartRecord(
        name=f"executor-{number}", phase=phase, port=number, log="", stop_signal=15, stop_rank=1, embedded=False, **changes
    )


def busy(**runs: int) -> dict[str, pb.QueueSignalsResponse]:
    return {name.replace("_", "-"): pb.QueueSignalsResponse(running_here=count) for name, count in runs.items()}


def test_the_idlest_goes_first_and_of_equals_the_last() -> None:
    present = [record(1), record(2), record(3), record(4)]
    answers = busy(executor_1=0, executor_2=5, executor_3=0, executor_4=1)
    assert autoscale.victims(present, answers) == ["executor-3", "executor-1", "executor-4", "executor-2"]


def test_what_does_not_run_goes_before_what_does() -> None:
    present = [
        record(1),
        record(2, PartPhase.BACK_OFF, restarts=5),
        record(3, PartPhase.STARTING),
        record(4, PartPhase.BACK_OFF, restarts=1),
    ]
    assert autoscale.victims(present, busy(executor_1=0)) == ["executor-2", "executor-4", "executor-3", "executor-1"]


SCALE = ScaleRecord(replicas=2, min_replicas=1, max_replicas=3, limited_by="Quota", message="demand 5; quota 2")


def test_a_change_is_told_with_its_numbers_and_nothing_else_is() -> None:
    assert scale_lines(None, SCALE) == ["executors 2, limited by Quota: demand 5; quota 2"]
    assert scale_lines(SCALE, SCALE.model_copy(update={"message": "demand 6; quota 2"})) == []
    up = SCALE.model_copy(update={"replicas": 3, "limited_by": "Max"})
    assert scale_lines(SCALE, up) == ["executors 2 → 3, limited by Max: demand 5; quota 2"]
    assert scale_lines(SCALE, None) == []


def test_status_says_how_many_and_why() -> None:
    said = scale_line({"scale": SCALE.model_dump()})
    assert said == "executors: 2 of 1 to 3, limited by Quota: demand 5; quota 2"
    assert scale_line({"scale": None}) == ""


def test_the_defaults_are_the_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    assert autoscale_settings.checked().spec(1, 3) == Spec()
    monkeypatch.setenv("HEADRACE_AUTOSCALE_DOWN_WINDOW_S", "7")
    assert autoscale_settings.checked().spec(2, 5).down.stabilization_s == 7


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_AUTOSCALE_HEADROOM", "much")
    with pytest.raises(CliError, match="HEADRACE_AUTOSCALE_HEADROOM"):
        autoscale_settings.checked()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--executors-max", "3"), "--executors-max is for --autoscale"),
        (("--autoscale", "--executors", "4", "--executors-max", "3"), "--executors-max 3 is less than --executors 4"),
    ],
)
def test_what_does_not_fit_together_is_told(
    arguments: tuple[str, ...], said: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path))
    result = CliRunner().invoke(app, ["up", *arguments])
    assert result.exit_code == 1
    assert said in result.output
