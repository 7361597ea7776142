"""What a log has opened, closed in an order that AG-UI allows."""

from typing import Any

from headrace_executor import events
from headrace_executor.runs.openings import Openings
from hypothesis import given
from hypothesis import strategies as st

from tests.support import agui

NAMES = st.sampled_from(["a", "b", "c"])


@st.composite
def logs(draw: st.DrawFn) -> list[Any]:
    """Any legal beginning of a log."""
    log: list[Any] = [events.run_started("s", "r")]
    steps: set[str] = set()
    messages: set[str] = set()
    calls: set[str] = set()
    used: set[str] = set()
    for _ in range(draw(st.integers(0, 25))):
        kind, name = draw(st.sampled_from(["step", "message", "call", "text", "custom"])), draw(NAMES)
        if kind == "step":
            opened = name in steps
            log.append(events.step_finished(name) if opened else events.step_started(name))
            steps ^= {name}
        elif kind == "message" and name in messages:
            log.append(events.text_end(name))
            messages.discard(name)
        elif kind == "message" and name not in used:
            log.append(events.text_start(name))
            messages.add(name)
            used.add(name)
        elif kind == "text" and name in messages:
            log.append(events.text_content(name, "x"))
        elif kind == "call":
            event = "TOOL_CALL_END" if name in calls else "TOOL_CALL_START"
            log.append({"type": event, "toolCallId": name} | ({} if name in calls else {"toolCallName": "t"}))
            calls ^= {name}
        elif kind == "custom":
            log.append(events.custom("x", name))
    return log


@given(logs())
def test_closing_makes_any_beginning_a_whole_log(log: list[Any]) -> None:
    openings = Openings()
    for event in log:
        openings.see(event)
    agui.check([*log, *openings.close(), events.run_error("internal", "x")])
    assert openings.close() == []


@given(logs(), st.sampled_from(["a", "b", "c"]))
def test_after_an_interruption_the_same_steps_may_begin_anew(log: list[Any], step: str) -> None:
    openings = Openings()
    for event in log:
        openings.see(event)
    interrupted = openings.interrupt("r")
    agui.check([*log, *interrupted, events.step_started(step), events.step_finished(step), events.run_error("i", "x")])


def test_a_step_that_is_closed_because_all_ends_says_that_it_is_not_done() -> None:
    openings = Openings()
    for event in (events.step_started("route"), events.step_finished("route"), events.step_started("plan")):
        openings.see(event)
    (closed,) = openings.close()
    assert closed == events.step_cut("plan")
    assert closed["metadata"] == {"done": False}
    assert "metadata" not in events.step_finished("plan")


def test_an_interruption_names_each_step_and_its_message() -> None:
    openings = Openings()
    for event in (
        events.step_started("node:a"),
        events.step_started("node:ab"),
        events.text_start("r:ab:2"),
        events.text_start("other"),
    ):
        openings.see(event)
    said = [event["value"] for event in openings.interrupt("r") if event["type"] == "CUSTOM"]
    assert said == [
        {"step": "node:a", "message_id": None},
        {"step": "node:ab", "message_id": "r:ab:2"},
        {"step": None, "message_id": "other"},
    ]
