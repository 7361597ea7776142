"""What a run looks like on a terminal."""

from collections.abc import Mapping
from typing import Any

from headrace_cli.render import result_text, show
from headrace_cli.view import Kind, Piece, View
from hypothesis import given
from hypothesis import strategies as st

Json = Any


def _play(*events: Mapping[str, Json]) -> tuple[View, list[Piece]]:
    view, pieces = View(), list[Piece]()
    for second, event in enumerate(events):
        view, more = show(event, view, now_s=float(second))
        pieces += more
    return view, pieces


def _text(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces if piece.kind is Kind.TEXT)


def _start(message: str) -> dict[str, Json]:
    return {"type": "TEXT_MESSAGE_START", "messageId": message, "role": "assistant"}


def _say(message: str, delta: str) -> dict[str, Json]:
    return {"type": "TEXT_MESSAGE_CONTENT", "messageId": message, "delta": delta}


def _end(message: str) -> dict[str, Json]:
    return {"type": "TEXT_MESSAGE_END", "messageId": message}


def _restarted(message: str) -> dict[str, Json]:
    value = {"step": f"node:{message}", "message_id": message}
    return {"type": "CUSTOM", "name": "headrace.restarted", "value": value}


FINISHED = {
    "type": "RUN_FINISHED",
    "threadId": "s",
    "runId": "r",
    "result": {"reply": "hi"},
    "outcome": {"type": "success"},
}


def test_a_conversation_shows_stages_with_times_and_tokens_as_they_come() -> None:
    view, pieces = _play(
        {"type": "RUN_STARTED", "threadId": "s", "runId": "r"},
        {"type": "STEP_STARTED", "stepName": "route"},
        {"type": "CUSTOM", "name": "headrace.intent", "value": {"kind": "chat", "confidence": 1, "decided_by": "rules"}},
        {"type": "STEP_FINISHED", "stepName": "route"},
        _start("m"),
        _say("m", "Hel"),
        _say("m", "lo"),
        _end("m"),
        FINISHED,
    )

    assert [(piece.kind, piece.text) for piece in pieces] == [
        (Kind.STAGE, "route"),
        (Kind.DONE, "route  2.00 s  chat (by rules)"),
        (Kind.TEXT, "Hel"),
        (Kind.TEXT, "lo"),
        (Kind.TEXT, "\n"),
    ]
    assert (view.run_id, view.session_id, view.outcome, view.said) == ("r", "s", "success", 5)


def test_two_messages_at_once_are_not_mixed_and_nothing_is_lost() -> None:
    view, pieces = _play(
        _start("a"), _say("a", "a1 "), _start("b"), _say("b", "b1 "), _start("c"), _say("c", "c1"), _end("c"),
        _say("a", "a2"), _say("b", "b2 "), _end("a"), _say("b", "b3"), _end("b"), FINISHED,
    )  # fmt: skip

    assert _text(pieces) == "a1 a2\nc1\nb1 b2 b3\n"
    assert view.said == len("a1 a2c1b1 b2 b3")


def test_a_restarted_message_begins_on_a_line_of_its_own() -> None:
    _, pieces = _play(
        _start("a"), _say("a", "half of"), _restarted("a"),
        _start("a2"), _say("a2", "half of it"), _end("a2"), FINISHED,
    )  # fmt: skip

    assert _text(pieces) == "half of\nhalf of it\n"
    assert [piece.text for piece in pieces if piece.kind is Kind.NOTE] == ["node:a was cut off and starts anew"]


def test_a_restart_of_a_message_that_has_ended_does_not_touch_the_one_that_is_shown() -> None:
    _, pieces = _play(_start("a"), _end("a"), _start("b"), _say("b", "one "), _restarted("a"), _say("b", "two"), _end("b"))

    assert _text(pieces) == "\none two\n"


def test_a_plan_says_where_it_came_from_and_what_to_mind() -> None:
    plan = {"origin": "builtin", "warnings": ["no documents yet"]}
    _, pieces = _play(
        {"type": "CUSTOM", "name": "headrace.plan", "value": plan}, {"type": "STEP_FINISHED", "stepName": "plan"}
    )

    assert [piece.text for piece in pieces] == ["no documents yet", "plan  builtin"]


def test_an_error_closes_the_open_line_and_names_its_code() -> None:
    view, pieces = _play(_start("a"), _say("a", "so"), {"type": "RUN_ERROR", "code": "quota", "message": "too\nmuch"})

    assert _text(pieces) == "so\n"
    assert pieces[-1] == Piece(Kind.ERROR, "quota: too much")
    assert view.outcome == "error"


def test_a_step_that_was_closed_without_being_done_is_not_shown_as_done() -> None:
    cut = {"type": "STEP_FINISHED", "stepName": "node:a", "metadata": {"done": False}}
    _, pieces = _play(
        {"type": "STEP_STARTED", "stepName": "node:a"}, cut, {"type": "RUN_ERROR", "code": "quota", "message": "too much"}
    )

    assert pieces == [
        Piece(Kind.STAGE, "node:a"),
        Piece(Kind.CUT, "node:a  1.00 s"),
        Piece(Kind.ERROR, "quota: too much"),
    ]


def test_a_node_that_is_not_to_run_is_told_as_skipped() -> None:
    skipped = {"type": "CUSTOM", "name": "headrace.skipped", "value": {"step": "node:a"}}
    begun, ended = ({"type": kind, "stepName": "node:a"} for kind in ("STEP_STARTED", "STEP_FINISHED"))
    _, pieces = _play(begun, skipped, ended)

    assert pieces == [Piece(Kind.STAGE, "node:a"), Piece(Kind.DONE, "node:a  skipped")]


def _called(call: str) -> list[dict[str, Json]]:
    return [
        {"type": "TOOL_CALL_START", "toolCallId": call, "toolCallName": "school.marks"},
        {"type": "TOOL_CALL_ARGS", "toolCallId": call, "delta": "{}"},
        {"type": "TOOL_CALL_END", "toolCallId": call},
        {"type": "TOOL_CALL_RESULT", "toolCallId": call, "content": "[]"},
    ]


def test_tool_calls_are_told_but_those_of_a_maps_items() -> None:
    _, pieces = _play(*_called("r:class"), *_called("r:marks[7]"), *_called("r:marks[7]/inner"))

    assert [piece.text for piece in pieces] == ["school.marks {}", "school.marks → []"]


def test_waiting_and_cost_are_told() -> None:
    usage = {"llm_calls": 2, "cached_calls": 1, "prompt_tokens": 10, "completion_tokens": 5, "cost_usd": 0.01}
    queued = {"position": 3, "expected_wait_s": 4.2, "limited_by": "quota"}
    _, pieces = _play(
        {"type": "CUSTOM", "name": "headrace.queued", "value": queued},
        {"type": "CUSTOM", "name": "headrace.usage", "value": usage},
    )

    assert [piece.text for piece in pieces] == [
        "queued at 3, about 4 s (quota)",
        "2 model calls, 1 cached, 10 + 5 tokens, $0.0100",
    ]


def test_tool_calls_are_lines_of_bounded_length() -> None:
    _, pieces = _play(
        {"type": "TOOL_CALL_START", "toolCallId": "t", "toolCallName": "calculator"},
        {"type": "TOOL_CALL_ARGS", "toolCallId": "t", "delta": '{"expression":\n"1+1"}'},
        {"type": "TOOL_CALL_RESULT", "toolCallId": "t", "messageId": "m", "content": "2" * 500},
    )

    assert pieces[0].text == 'calculator {"expression": "1+1"}'
    assert pieces[1].text.startswith("calculator → 222")
    assert len(pieces[1].text) < 200


def test_a_result_is_its_reply_or_its_output_or_json() -> None:
    assert result_text({"reply": "yes"}) == "yes"
    assert result_text("yes") == "yes"
    assert result_text({"page": {"slots": []}, "output": 42}) == "42"
    assert result_text({"reply": None, "output": {"n": 1}}) == '{\n  "n": 1\n}'
    assert result_text({"n": "é"}) == '{\n  "n": "é"\n}'


_messages = st.sampled_from(["a", "b", "c", "d"])


@given(st.lists(st.tuples(_messages, st.text("xyz", min_size=1, max_size=3)), max_size=40))
def test_every_delta_is_shown_once_and_each_message_in_its_order(said: list[tuple[str, str]]) -> None:
    ids = dict.fromkeys(message for message, _ in said)
    events = [_start(message) for message in ids]
    events += [_say(message, f"<{message}{delta}>") for message, delta in said]
    events += [_end(message) for message in ids]

    view, pieces = _play(*events, FINISHED)

    shown = _text(pieces)
    assert sorted(shown.replace("\n", "")) == sorted("".join(f"<{message}{delta}>" for message, delta in said))
    for message in ids:
        assert "".join(f"<{one}{delta}>" for one, delta in said if one == message) in shown
    assert view.speaking == ""


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=2)
)
_types = st.sampled_from(
    ["RUN_STARTED", "STEP_FINISHED", "TEXT_MESSAGE_CONTENT", "TOOL_CALL_ARGS", "CUSTOM", "RUN_FINISHED", "NEW"]
)


@given(
    st.lists(st.fixed_dictionaries({"type": _types}, optional=dict.fromkeys(("value", "delta", "outcome", "name"), _json)))
)
def test_an_event_of_an_unexpected_shape_never_breaks_the_terminal(events: list[dict[str, Json]]) -> None:
    view, _ = _play(*events)

    assert isinstance(view, View)


LAYOUT = [{"slot": "a", "title": "First", "node": "a"}, {"slot": "b", "title": "Second", "node": "b"}]
PAGE_STARTED: list[dict[str, Json]] = [
    {"type": "RUN_STARTED", "threadId": "s", "runId": "r"},
    {"type": "STATE_SNAPSHOT", "snapshot": {"blueprint": {"layout": LAYOUT}, "page": {"slots": {}}}},
]


def test_each_text_of_a_page_begins_with_its_slots_title_or_its_nodes_name() -> None:
    _, pieces = _play(
        *PAGE_STARTED, _start("r:a"), _say("r:a", "one"), _start("r:b:2"), _say("r:b:2", "two"), _end("r:b:2"), _end("r:a"),
        _start("r:c"), _say("r:c", "no slot"), _end("r:c"),
    )  # fmt: skip

    assert _text(pieces) == "\n## First\n\none\n\n## Second\n\ntwo\n\n## c\n\nno slot\n"


def test_an_item_that_was_cut_off_and_done_later_is_one_item() -> None:
    cut = {"type": "STEP_FINISHED", "stepName": "node:m[0]", "metadata": {"done": False}}
    _, pieces = _play(cut, *({"type": "STEP_FINISHED", "stepName": step} for step in ("node:m[0]", "node:m[1]", "node:m")))

    assert pieces[-1].text.endswith("2 items")


def test_the_items_of_a_map_are_told_when_they_end_and_counted() -> None:
    steps = [f"node:m[{at}]" for at in range(3)]
    _, pieces = _play(
        {"type": "STEP_STARTED", "stepName": "node:m"},
        *({"type": "STEP_STARTED", "stepName": step} for step in steps),
        *({"type": "STEP_FINISHED", "stepName": step} for step in steps[:2]),
        {"type": "CUSTOM", "name": "headrace.gap", "value": {"step": steps[2], "code": "tool", "message": "away"}},
        {"type": "STEP_FINISHED", "stepName": steps[2]},
        {"type": "STEP_FINISHED", "stepName": "node:m"},
    )

    assert pieces == [
        Piece(Kind.STAGE, "node:m"),
        Piece(Kind.DONE, "node:m[0]  3.00 s"),
        Piece(Kind.DONE, "node:m[1]  3.00 s"),
        Piece(Kind.GAP, "node:m[2] left a gap: tool: away"),
        Piece(Kind.CUT, "node:m[2]  4.00 s"),
        Piece(Kind.DONE, "node:m  8.00 s  2 of 3 items"),
    ]


def test_what_is_asked_back_is_shown_with_its_candidates() -> None:
    asked = {"id": "r:0", "message": "Which?", "metadata": {"candidates": [{"id": "c", "name": "3B"}]}}
    outcome = {"type": "interrupt", "interrupts": [asked]}
    view, pieces = _play({**FINISHED, "outcome": outcome})

    assert pieces == [Piece(Kind.ASK, "Which?"), Piece(Kind.ASK, "  1. 3B [c]")]
    assert (view.outcome, view.interrupts) == ("interrupt", [asked])


def test_a_plan_that_was_made_before_says_so() -> None:
    _, pieces = _play(
        {"type": "CUSTOM", "name": "headrace.plan", "value": {"origin": "reused", "warnings": []}},
        {"type": "STEP_FINISHED", "stepName": "plan"},
    )

    assert pieces[-1].text == "plan  reused: planned before for the same request"
