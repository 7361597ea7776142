"""How many users a quota serves: the formula, what binds it, and the command."""

import json
import math
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
from headrace_cli.capacity import bounds, formula, options
from headrace_cli.capacity.model import Scenario
from headrace_cli.main import app
from headrace_llm.client import Priority
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

EXAMPLE = "chat=60,workflow=25,build=15"

positive = st.floats(0.01, 1e4)


def scenario(
    *, rpm: float = 100, tpm: float = 0, think_s: float = 15, slots: int = 32, patience: str = "", mix: str = EXAMPLE
) -> Scenario:
    return options.scenario(options.Texts(mix, patience=patience), rpm=rpm, tpm=tpm, think_s=think_s, slots=slots)


def capacity(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["capacity", *arguments])


def test_the_published_example_is_31_users() -> None:
    users = formula.users_of_quota(rpm=100, calls=1.6, response_s=14.5, think_s=15)

    assert users == pytest.approx(30.729, abs=0.001)
    assert round(users) == 31


def test_the_default_profiles_make_the_published_example_of_the_default_mix() -> None:
    example = scenario()

    assert example.calls == pytest.approx(1.6)
    assert example.response_s == pytest.approx(14.5)
    assert bounds.bounds(example)[0].users == pytest.approx(30.729, abs=0.001)


@given(positive, positive, positive, positive, st.floats(1, 10))
def test_more_quota_serves_more_users_and_more_calls_for_each_fewer(
    rpm: float, calls: float, response_s: float, think_s: float, more: float
) -> None:
    def users(rpm: float = rpm, calls: float = calls, response_s: float = response_s, think_s: float = think_s) -> float:
        return formula.users_of_quota(rpm=rpm, calls=calls, response_s=response_s, think_s=think_s)

    assert users(rpm=rpm * more) == pytest.approx(users() * more)
    assert users(calls=calls * more) == pytest.approx(users() / more)
    assert users(think_s=think_s * more) >= users()
    assert users(response_s=response_s * more) >= users()


@given(st.floats(1, 1e4), st.floats(100, 1e7), st.floats(0, 100), st.integers(1, 1000))
def test_doubling_what_does_not_bind_changes_nothing_and_doubling_what_binds_never_costs_a_user(
    rpm: float, tpm: float, think_s: float, slots: int
) -> None:
    first, *others = bounds.bounds(scenario(rpm=rpm, tpm=tpm, think_s=think_s, slots=slots))

    assert bounds.bounds(first.doubled)[0].users >= first.users
    for other in others:
        assert bounds.bounds(other.doubled)[0].users == pytest.approx(first.users)
        assert first.users <= other.users


@pytest.mark.parametrize(
    ("example", "binding"),
    [
        (scenario(), "requests per minute"),
        (scenario(tpm=100_000), "tokens per minute"),
        (scenario(slots=8), "executor slots"),
        (scenario(patience="standard=30"), "deadlines"),
    ],
)
def test_the_scarcest_of_four_binds_and_the_sentence_begins_with_it(example: Scenario, binding: str) -> None:
    assert bounds.bounds(example)[0].name == binding
    assert bounds.sentence(example).startswith(f"{binding} bind: ")


def test_the_sentence_says_what_doubling_gives_what_binds_then_and_what_hangs_on_the_think_time() -> None:
    assert "Doubled, 61.5 users." in bounds.sentence(scenario())
    assert "51% of the answer hangs on the think time: without it, 15.1 users." in bounds.sentence(scenario())
    assert "Doubled, 30.7 users, bound by requests per minute." in bounds.sentence(scenario(slots=16 - 6))
    assert "think" not in bounds.sentence(scenario(think_s=0))


def test_tokens_bound_users_as_requests_do() -> None:
    example = scenario(tpm=100_000)

    assert example.tokens == pytest.approx(3500)
    assert bounds.bounds(example)[0].users == pytest.approx(100_000 / 3500 / 60 * 29.5)
    assert math.isinf(next(one.users for one in bounds.bounds(scenario()) if one.name == "tokens per minute"))


def test_shares_are_in_any_unit_and_profiles_can_be_given() -> None:
    texts = options.Texts(
        "chat=3,report=1", calls="report=6", seconds="report=12", tokens="report=4000", priority="report=background"
    )
    chat, report = options.scenario(texts, rpm=60, tpm=0, think_s=0, slots=1).kinds

    assert (chat.share, report.share) == (0.75, 0.25)
    assert (chat.priority, report.priority) == (Priority.INTERACTIVE, Priority.BACKGROUND)
    assert (report.calls, report.seconds, report.tokens, report.patience_s) == (6, 12, 4000, 900)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rpm", "0"], "--rpm 0"),
        (["--rpm", "nan"], "--rpm nan"),
        (["--rpm", "100", "--think", "-1"], "--think -1"),
        (["--rpm", "100", "--tpm", "inf"], "--tpm inf"),
        (["--rpm", "100", "--mix", "chat"], "--mix 'chat' is not KIND=VALUE"),
        (["--rpm", "100", "--mix", "chat=many"], "--mix chat=many is not a number"),
        (["--rpm", "100", "--mix", "chat=1,chat=2"], "--mix names 'chat' twice"),
        (["--rpm", "100", "--mix", ","], "--mix names no kind"),
        (["--rpm", "100", "--mix", "[red]=1"], "--mix '[red]' is no name"),
        (["--rpm", "100", "--mix", "report=1"], "add --calls report=…"),
        (["--rpm", "100", "--calls", "chat=0.5"], "--calls chat=0.5"),
        (["--rpm", "100", "--seconds", "report=1"], "--seconds names 'report'"),
        (["--rpm", "100", "--patience", "chat=9"], "--patience names 'chat'"),
        (["--rpm", "100", "--priority", "chat=high"], "--priority chat=high"),
        (["--rpm", "100", "--target-wait", "-1"], "--target-wait -1"),
        (["--rpm", "100", "--spread", "11"], "--spread 11"),
        (["--rpm", "100", "--plot", "x.png"], "--plot x.png does not end in .svg"),
        (["--rpm", "100", "--plot", "no/folder/x.svg"], "--plot no/folder/x.svg"),
        (["--rpm", "100", "--plot", "x.svg", "--no-simulate"], "--plot and --no-simulate exclude each other"),
        (["--rpm", "1000000", "--replicas", "1000", "--slots", "1024"], "--no-simulate calculates only"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_a_line_that_names_the_option(arguments: list[str], said: str) -> None:
    result = capacity(*arguments)

    assert result.exit_code == 1
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_the_help_has_the_published_example() -> None:
    output = capacity("--help").output

    assert "headrace capacity --rpm 100 --mix chat=60,workflow=25,build=15 --think 15" in output
    assert "about 31 of them" in output


def test_the_command_says_the_answer_its_rounding_and_what_binds() -> None:
    result = capacity("--rpm", "100", "--mix", EXAMPLE, "--no-simulate")

    assert result.exit_code == 0
    assert "= 30.73, about 31 users" in result.stdout
    assert "of which 30 fit whole" in result.stdout
    assert "requests per minute bind" in result.stdout


def test_one_run_gives_table_json_and_a_plot_that_mark_the_same_answer(tmp_path: Path) -> None:
    arguments = ("--rpm", "4", "--target-wait", "30", "--plot", str(tmp_path / "plan.svg"))
    told = json.loads(capacity(*arguments, "--json").stdout)
    table = capacity(*arguments)

    users = told["simulation"]["users"]
    assert told["binding"] == "requests per minute"
    assert told["users"] == 1.23
    assert f"simulation: {users} user" in table.stdout
    drawn = Xml.fromstring((tmp_path / "plan.svg").read_text(encoding="utf-8"))
    texts = [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert "formula: 1.2 users" in texts
    assert f"simulation: {users} served well" in texts
    circles = len(list(drawn.iter("{http://www.w3.org/2000/svg}circle")))
    assert circles == 2 * len(told["simulation"]["points"])
