"""What `headrace status` tells."""

import io
import json

import pytest
from headrace_cli.report import duration, report, table, total_line
from headrace_cli.supervisor.measure import Figures
from headrace_cli.supervisor.state import Identity, PartPhase, PartRecord, Phase, State
from rich.console import Console

MIB = 1024 * 1024
OWN = Identity(pid=1, started_s=0.0)


def _part(name: str, phase: PartPhase = PartPhase.READY, **fields: object) -> PartRecord:
    base = PartRecord(name=name, phase=phase, port=7, log="", stop_signal=15, stop_rank=2, embedded=False, process=OWN)
    return base.model_copy(update=fields)


def _figures(mib: int) -> Figures:
    return Figures(rss_bytes=2 * mib * MIB, pss_bytes=mib * MIB, cpu_percent=1.5, uptime_s=61.0)


def _state(*parts: PartRecord) -> State:
    return State(phase=Phase.READY, supervisor=OWN, url="http://x", models=("m",), parts=parts)


def test_the_total_leaves_the_model_out() -> None:
    answer = report(_state(_part("rag"), _part("model")), [_figures(100), _figures(300)], _figures(20), None, 0.0)

    assert answer["pss_bytes_without_model"] == 120 * MIB
    assert [row["name"] for row in answer["processes"]] == ["supervisor", "rag", "model"]
    json.dumps(answer)


def test_a_process_that_is_not_there_is_gone_whatever_the_file_says() -> None:
    answer = report(_state(_part("rag")), [None], None, None, 0.0)

    assert answer["phase"] == "down"
    assert {row["name"]: row["state"] for row in answer["processes"]} == {"supervisor": "gone", "rag": "gone"}
    assert answer["processes"][1]["pid"] is None


def test_a_part_in_back_off_says_how_it_ended_and_when_it_starts() -> None:
    part = _part("rag", PartPhase.BACK_OFF, next_start=12.5, restarts=4, last_end="it ended with code 1", process=None)

    row = report(_state(part), [None], _figures(1), None, 10.0)["processes"][1]

    assert (row["state"], row["next_start_s"], row["restarts"]) == ("back-off", 2.5, 4)


def test_the_table_shows_each_process_and_the_total_is_a_line() -> None:
    console = Console(file=io.StringIO(), width=80)
    answer = report(_state(_part("rag")), [_figures(100)], _figures(20), None, 0.0)
    console.print(table(answer))

    written = console.file
    assert isinstance(written, io.StringIO)
    shown = written.getvalue()
    assert shown.splitlines()[-1].split() == ["rag", "ready", "1", "7", "200", "100", "1.5", "0", "1m01s"]
    assert total_line(answer) == "PSS without the local model: 120 MiB"


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (59.9, "59s"), (61, "1m01s"), (7500, "2h05m"), (3 * 86_400 + 14_400, "3d04h")]
)
def test_durations_are_short(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text
