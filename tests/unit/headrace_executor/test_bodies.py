"""Run bodies: each fault at its place, nothing that recurses."""

from typing import Any

import orjson
import pytest
from headrace_executor.model import Priority, RunKind
from headrace_executor.runs import bodies
from headrace_runtime.errors import InvalidArgument
from hypothesis import given
from hypothesis import strategies as st

PAGE = {
    "version": 1,
    "name": "sum",
    "inputs": {"type": "object"},
    "nodes": [{"id": "sum", "kind": "compute", "expr": "1 + 1"}],
    "output": "${nodes.sum.output}",
}
CUT = {"slot": "a", "node": "sum", "value": {"truncated": True, "bytes": 9, "preview": "", "step": "node:sum"}}
"""A slot whose value was too large to be shown."""

RESUME = {"interrupt_id": "01890a5d-ac96-774b-bcce-b302099a8057:0", "status": "resolved", "payload": "c1"}


def check(kind: RunKind, body: Any) -> bodies.Checked:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return bodies.check(kind, data, models=("big", "small"))


def violations(kind: RunKind, body: Any) -> dict[str, str]:
    with pytest.raises(InvalidArgument) as caught:
        check(kind, body)
    return {violation.field: violation.message for violation in caught.value.violations}


@pytest.mark.parametrize(
    ("kind", "body", "message", "title"),
    [
        (RunKind.CONVERSATION, {"message": " hi\nthere "}, " hi\nthere ", "hi there"),
        (RunKind.CONVERSATION, {"message": "m" * 100, "mode": "qa", "model": "big"}, "m" * 100, "m" * 79 + "…"),
        (RunKind.CONVERSATION, {"message": "hi", "history": [{"role": "user", "text": "ho"}]}, "hi", "hi"),
        (RunKind.CONVERSATION, {"message": "hi", "memory": {"top_k": 50}}, "hi", "hi"),
        (RunKind.CONVERSATION, {"message": "hi", "memory": {}}, "hi", "hi"),
        (RunKind.WORKFLOW, {"prompt": "plan it", "sources": ["a"]}, "plan it", "plan it"),
        (RunKind.PAGE, {"blueprint": PAGE, "inputs": {"x": 1}}, None, "sum"),
        (RunKind.PAGE, {"workflow_id": "report"}, None, ""),
        (RunKind.PATCH, {"page_id": "p", "instruction": "shorter"}, "shorter", "shorter"),
        (RunKind.PATCH, {"page": {"blueprint": PAGE, "slots": [], "version": 3}, "instruction": "x"}, "x", "x"),
        (RunKind.DOCUMENT, {"document_id": "d", "title": "T", "text": "x"}, None, "T"),
        (RunKind.QUIZ, {"message": "rivers"}, "rivers", "rivers"),
        (RunKind.CONVERSATION, {"resume": [RESUME]}, None, ""),
        (RunKind.CONVERSATION, {"message": "or 4C", "resume": [{**RESUME, "payload": {"x": [1]}}]}, "or 4C", "or 4C"),
        (RunKind.WORKFLOW, {"resume": [{**RESUME, "status": "cancelled"}]}, None, ""),
    ],
)
def test_a_valid_body_has_its_message_and_title(kind: RunKind, body: Any, message: str | None, title: str) -> None:
    checked = check(kind, body)
    assert (checked.message, checked.title) == (message, title)


@pytest.mark.parametrize(
    ("kind", "body", "fields"),
    [
        (RunKind.CONVERSATION, {}, {"/message"}),
        (RunKind.CONVERSATION, {"resume": []}, {"/message"}),
        (RunKind.WORKFLOW, {}, {"/prompt"}),
        (RunKind.CONVERSATION, {"resume": [{"interrupt_id": "", "status": "perhaps", "oops": 1}]}, {
            "/resume/0/interrupt_id", "/resume/0/status", "/resume/0/oops",
        }),
        (RunKind.CONVERSATION, {"resume": [RESUME] * 21}, {"/resume"}),
        (RunKind.CONVERSATION, {"message": "  "}, {"/message"}),
        (RunKind.CONVERSATION, {"message": "a\x00b"}, {"/message"}),
        (RunKind.CONVERSATION, {"message": 1, "mode": "x", "tools": ["", 2], "oops": 1}, {
            "/message", "/mode", "/tools/0", "/tools/1", "/oops",
        }),
        (RunKind.CONVERSATION, {"message": "x", "model": "gone"}, {"/model"}),
        (RunKind.CONVERSATION, {"message": "x", "history": [{"role": "system", "text": " "}]}, {
            "/history/0/role", "/history/0/text",
        }),
        (RunKind.CONVERSATION, {"message": "x", "history": [{"role": "user", "text": "x"}] * 65}, {"/history"}),
        (RunKind.PAGE, {"blueprint": []}, {"/blueprint"}),
        (RunKind.PAGE, {}, {"/blueprint"}),
        (RunKind.PAGE, {"blueprint": PAGE, "workflow_id": "report"}, {"/blueprint"}),
        (RunKind.PATCH, {"instruction": "x"}, {"/page_id"}),
        (RunKind.PATCH, {"instruction": "x", "page_id": "p", "page": {"blueprint": PAGE, "slots": []}}, {"/page_id"}),
        (RunKind.PATCH, {"page_id": "p", "instruction": " ", "model": "gone", "oops": 1}, {"/instruction", "/oops"}),
        (RunKind.PATCH, {"page_id": "p", "instruction": "x", "model": "gone"}, {"/model"}),
        (RunKind.PATCH, {"page": {"slots": [{"slot": "a"}]}, "instruction": "x"}, {
            "/page/blueprint", "/page/slots/0/node",
        }),
        (RunKind.PATCH, {"page": {"blueprint": PAGE, "slots": [CUT]}, "instruction": "x"}, {"/page/slots/0/value"}),
        (RunKind.DOCUMENT, {"text": "x"}, {"/document_id"}),
        (RunKind.CONVERSATION, [], {"body"}),
        (RunKind.CONVERSATION, b"", {"body"}),
        (RunKind.CONVERSATION, b'{"message": "\xff"}', {"body"}),
        (RunKind.CONVERSATION, b'{"message": "' + b"x" * 1024 * 1024 + b'"}', {"body"}),
    ],
)  # fmt: skip
def test_each_fault_is_named_with_its_place(kind: RunKind, body: Any, fields: set[str]) -> None:
    assert set(violations(kind, body)) == fields


@given(st.integers(1, 3000), st.sampled_from(["list", "object", "both"]))
def test_depth_is_bounded_at_64_without_recursion(depth: int, shape: str) -> None:
    opening = {"list": "[", "object": '{"a":', "both": '[{"a":'}[shape]
    closing = {"list": "]", "object": "}", "both": "}]"}[shape]
    levels = depth * (2 if shape == "both" else 1) + 2  # the body's and the metadata's own
    data = f'{{"message":"x","metadata":{{"k":{opening * depth}1{closing * depth}}}}}'.encode()
    if levels <= bodies.MAX_DEPTH:
        check(RunKind.CONVERSATION, data)
    else:
        assert set(violations(RunKind.CONVERSATION, data)) == {"body"}


def test_many_brackets_side_by_side_are_not_deep() -> None:
    check(RunKind.CONVERSATION, {"message": "x", "metadata": {"k": [[] for _ in range(5000)]}})


def test_conversations_are_interactive_and_documents_wait() -> None:
    assert bodies.default_priority(RunKind.CONVERSATION) is Priority.INTERACTIVE
    assert bodies.default_priority(RunKind.DOCUMENT) is Priority.BACKGROUND
    assert bodies.default_priority(RunKind.PAGE) is Priority.STANDARD
