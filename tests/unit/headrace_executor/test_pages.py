"""A page as its readers get it: every field within its limit, the whole reachable."""

from datetime import UTC, datetime
from typing import Any

import orjson
from headrace_executor.pages import MAX_FIELD_BYTES, PageContent, PageVersion, shown
from headrace_executor.ports import Gap
from headrace_llm.usage import Usage
from hypothesis import given, settings
from hypothesis import strategies as st

VERSION = PageVersion("p", 1, True, 0, "", "T", "r", "s", datetime.now(UTC), Usage())


def content(outputs: dict[str, Any], **fields: Any) -> PageContent:
    layout = [{"slot": f"s_{node}", "title": node, "node": node} for node in outputs]
    held = {"blueprint": {"layout": layout}, "inputs": {}, "sources": [], "gaps": (), "outputs": outputs}
    return PageContent(**{**held, **fields})


def test_slots_are_in_the_layouts_order_with_their_values_and_gaps() -> None:
    gaps = [Gap("node:b", "provider", "It failed."), Gap("node:c[1]", "tool", "An item failed.")]
    page = shown(VERSION, content({"c": [1, None], "b": None, "a": "text"}, gaps=gaps))
    assert orjson.loads(page.slots) == [
        {"slot": "s_c", "title": "c", "node": "c", "value": [1, None]},
        {"slot": "s_b", "title": "b", "node": "b", "value": None, "gap": {"code": "provider", "message": "It failed."}},
        {"slot": "s_a", "title": "a", "node": "a", "value": "text"},
    ]


def test_what_is_too_large_names_the_part_that_has_it() -> None:
    large = "é" * MAX_FIELD_BYTES
    page = shown(VERSION, content({"a": large, "b": "small"}, inputs={"x": large}, sources=[large]))
    first, second = orjson.loads(page.slots)
    assert first["value"]["step"] == "node:a"
    assert first["value"]["bytes"] == len(orjson.dumps(large))
    assert second["value"] == "small"
    assert orjson.loads(page.inputs)["step"] == "inputs"
    assert orjson.loads(page.sources)["step"] == "sources"


@settings(max_examples=40)
@given(st.lists(st.integers(0, 300_000), min_size=1, max_size=200), st.sampled_from(["x", "\x01", "é"]))
def test_no_field_passes_its_limit(sizes: list[int], character: str) -> None:
    outputs = {f"n{at}": character * min(size, 4 * MAX_FIELD_BYTES // len(sizes)) for at, size in enumerate(sizes)}
    page = shown(VERSION, content(outputs, inputs=outputs, sources=list(outputs.values())))
    for field in (page.slots, page.inputs, page.sources):
        assert len(field) <= MAX_FIELD_BYTES
    assert [slot["node"] for slot in orjson.loads(page.slots)] == list(outputs)
