"""What `headrace quota` shows."""

from typing import Any

import pytest
from headrace_cli.quota_view import BARS, HISTORY, History, picture, sparkline
from rich.console import Console

GATE: dict[str, Any] = {
    "granted_rpm": 40.0,
    "effective_rpm": 60.0,
    "configured_rpm": 100.0,
    "queue_depth": 5,
    "queued": {"interactive": 3, "standard": 0, "background": 2},
    "expected_wait_s": {"interactive": 3.0, "standard": 3.0, "background": 7.5},
    "seconds_per_call": 1.5,
    "shared": True,
    "breaker_open": False,
    "cooling_s": 0.0,
    "throttled_ratio": 0.0,
    "cached_ratio": 0.0,
}
QUOTA: dict[str, Any] = {
    "queued": {"interactive": 1, "standard": 0, "background": 7},
    "running": 8,
    "oldest_wait_s": 12.3,
    "slots_per_replica": 8,
    "replicas": 2,
    "default_model": "big",
    "models": {"big": GATE},
    "kinds": {"page": {"calls_per_run": 3.2, "seconds_per_run": 9.9}},
    "promises": {"open": 4, "next_s": 2.4},
}


def shown(quota: dict[str, Any], history: History | None = None, *, width: int = 160) -> str:
    console = Console(width=width, record=True, file=None, color_system=None, quiet=False)
    with console.capture() as captured:
        console.print(picture(quota, history or History(), width))
    return captured.get()


def test_everything_is_told_in_numbers() -> None:
    text = shown(QUOTA)
    for part in (
        "8 of 16 running",
        "waiting 1 / 0 / 7, the oldest for 12.3 s",
        "big (default)",
        "40 of 60 (set 100)",
        "3 / 0 / 2",
        "3.0 / 3.0 / 7.5",
        "1.5 s a call",
        "page 3.2 calls, 9.9 s",
        "told to come back  4, the next in 2 s",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"breaker_open": True}, "failing"),
        ({"cooling_s": 2.5}, "pausing 2.5 s after a 429"),
        ({"throttled_ratio": 0.25}, "25.0 % refused"),
        ({"shared": False}, "no Redis"),
        ({"cached_ratio": 0.5}, "50 % from the cache"),
        ({"effective_rpm": 0}, "40 of no limit"),
        ({"seconds_per_call": 0}, "good"),
    ],
)
def test_what_is_wrong_with_a_gate_is_said(fields: dict[str, Any], says: str) -> None:
    assert says in shown({**QUOTA, "models": {"big": {**GATE, **fields}}})


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_every_number_and_state_is_whole_on_terminals_of_any_usual_width(width: int) -> None:
    crowded = {**GATE, "expected_wait_s": dict.fromkeys(GATE["queued"], 1234.5), "breaker_open": True}
    history = History()
    for _ in range(HISTORY):
        history.see({"models": {"big": crowded}})
    text = shown({**QUOTA, "models": {"big": crowded}}, history, width=width)
    words = text.split()

    for part in ("big", "40 of 60 (set 100)", "3 / 0 / 2", "1234.5 / 1234.5 / 1234.5"):
        assert part in text
    assert {"failing:", "calls", "are", "refused,", "1.5", "a", "call"} <= set(words)
    assert max(map(len, text.splitlines())) <= width


def test_an_older_edge_and_one_that_has_nothing_to_tell_are_shown_too() -> None:
    assert "0 of 0 running" in shown({})
    assert "7 of 60" in shown({"models": {"m": {"granted_rpm": 7, "effective_rpm": 60, "queue_depth": 2}}})


def test_names_are_no_markup() -> None:
    assert "[red]x" in shown({"models": {"[red]x": GATE}})


def test_a_sparkline_reaches_its_top_and_no_further() -> None:
    assert sparkline([], 60) == ""
    assert sparkline([0, 30, 60, 120], 60) == f"{BARS[0]}{BARS[2]}{BARS[4]}{BARS[7]}"
    assert sparkline([0, 0], 0) == BARS[0] * 2


def test_the_history_is_bounded_and_forgets_models_that_are_gone() -> None:
    history = History()
    for _ in range(HISTORY + 10):
        history.see(QUOTA)
    assert len(history.of("big")) == HISTORY
    assert BARS[5] * HISTORY in shown(QUOTA, history)
    history.see({"models": {}})
    assert history.of("big") == ()
