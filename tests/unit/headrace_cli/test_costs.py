"""What `headrace usage` shows and asks for."""

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from headrace_cli import connection, costs
from headrace_cli.client import EdgeClient
from headrace_cli.main import app
from rich.console import Console
from typer.testing import CliRunner

NOW = datetime(2026, 1, 31, 21, 0, tzinfo=UTC)


def figures(calls: int, cost: float | None) -> dict[str, Any]:
    return {"llm_calls": calls, "cached_calls": 0, "prompt_tokens": 1_200, "completion_tokens": 5, "cost_usd": cost}


def answer(*rows: dict[str, Any], **fields: Any) -> dict[str, Any]:
    known = {"from": "2026-01-31", "to": "2026-01-31", "rows": list(rows), "total": figures(3, 1234.5)}
    return {**known, "budget": None, "truncated": False, **fields}


def budget(**limits: tuple[float | None, float]) -> dict[str, Any]:
    daily: dict[str, dict[str, float | None]] = {n: {"limit": None, "used": 0} for n in ("usd", "tokens", "calls")}
    daily |= {name: {"limit": limit, "used": used} for name, (limit, used) in limits.items()}
    return {"daily": daily, "resets_at": "2026-02-01T00:00:00Z"}


def shown(what: Any, *, width: int = 120) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_rows_have_the_columns_asked_for_and_the_total_is_the_last_line() -> None:
    rows: list[dict[str, Any]] = [
        {"model": "qwen", "session_id": "s1", "usage": figures(2, 0.000123)},
        {"model": "odd[1]", "session_id": None, "usage": figures(1, None)},
    ]
    lines = shown(costs.table(answer(*rows), ["model", "session"]))
    assert [line.split() for line in lines] == [
        ["model", "session", "calls", "cached", "prompt", "answer", "cost"],
        ["qwen", "s1", "2", "0", "1,200", "5", "$0.000123"],
        ["odd[1]", "-", "1", "0", "1,200", "5", "unknown"],
        ["total", "3", "0", "1,200", "5", "$1,234.50"],
    ]


def test_without_groups_the_one_row_is_the_total() -> None:
    lines = shown(costs.table(answer({"usage": figures(3, 0.0)}), []))
    assert [line.split() for line in lines][1:] == [["3", "0", "1,200", "5", "$0.00"]]
    assert shown(costs.table(answer(), []))[1].split()[0] == "3"


def test_a_budget_has_a_bar_for_each_limit_and_says_when_a_spent_one_begins_anew() -> None:
    lines = shown(costs.budget(answer(budget=budget(usd=(5, 1.5), calls=(10, 10))), now=NOW))
    title, usd, calls = lines
    assert title.strip() == "today's budget, anew in 3h00m"
    assert usd.split()[0] == "usd"
    assert usd.rstrip().endswith("$1.50 of $5.00")
    assert calls.split()[0] == "calls"
    assert calls.split()[-4:] == ["10", "of", "10", "spent"]


def test_a_narrow_terminal_folds_names_and_cuts_nothing() -> None:
    row = {"day": "2026-01-31", "run_id": "x" * 36, "usage": figures(2, 0.000123)}
    lines = shown(costs.table(answer(row), ["day", "run"]), width=64)
    assert sum(line.count("x") for line in lines) == 36
    assert "$0.000123" in lines[1]
    assert not any("…" in line for line in lines)


def test_a_budget_of_nothing_is_spent_and_no_budget_shows_nothing() -> None:
    assert "spent" in shown(costs.budget(answer(budget=budget(tokens=(0, 0))), now=NOW))[1]
    assert costs.budget(answer(), now=NOW) is None


class _Edge(EdgeClient):
    """Writes down what it is asked."""

    def __init__(self, known: dict[str, Any]) -> None:
        super().__init__("http://edge")
        self.known = known
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def get(self, path: str, **params: str | int) -> Any:
        self.asked.append((path, params))
        return self.known


@pytest.fixture
def edge(monkeypatch: pytest.MonkeyPatch) -> _Edge:
    row = {"day": "2026-01-31", "model": "qwen", "usage": figures(3, 1234.5)}
    one = _Edge(answer(row, budget=budget(calls=(10, 3)), truncated=True))
    monkeypatch.setattr(connection, "connect", lambda: one)
    return one


def test_the_command_asks_for_what_its_options_say_and_shows_it(edge: _Edge) -> None:
    options = ["usage", "--from", "2026-01-01", "--by", "day, model", "--session", "s"]
    result = CliRunner().invoke(app, options)
    assert result.exit_code == 0
    params = {"from": "2026-01-01", "group_by": "day,model", "session_id": "s"}
    assert edge.asked == [("/api/usage", params)]
    assert "qwen" in result.stdout
    assert "more than these 1 rows" in result.stdout
    assert "3 of 10" in result.stdout


def test_today_by_model_is_the_default_and_an_empty_group_is_the_total(edge: _Edge) -> None:
    assert CliRunner().invoke(app, ["usage"]).exit_code == 0
    assert CliRunner().invoke(app, ["usage", "--by", ""]).exit_code == 0
    assert [params for _, params in edge.asked] == [{"group_by": "model"}, {}]


def test_json_is_the_edges_answer(edge: _Edge) -> None:
    result = CliRunner().invoke(app, ["usage", "--json"])
    assert json.loads(result.stdout) == edge.known


def test_an_unknown_group_is_refused_with_those_that_there_are(edge: _Edge) -> None:
    result = CliRunner().invoke(app, ["usage", "--by", "colour"])
    assert result.exit_code == 1
    assert "day, model, kind, session, run" in result.stderr
    assert not edge.asked
