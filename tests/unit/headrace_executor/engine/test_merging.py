"""Two changes of one version of a page as one, against an oracle that makes the first and then the second."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest
from headrace_blueprint.plan import Plan
from headrace_executor.engine import requests
from headrace_executor.engine.merging import Conflict, merged
from headrace_executor.errors import RunFailed
from headrace_executor.ports import Gap, PageDraft
from headrace_llm.usage import Usage
from hypothesis import given
from hypothesis import strategies as st

Json = Any
DATA = {"d0": "x", "d1": "y"}
"""Nodes of data, and the input that each reads."""
READS = {"t0": "d0", "t1": "d0", "t2": "d1", "t3": None, "k": "d1"}
"""Nodes that fill a slot, and what each reads; k computes, the others are texts."""


def node(name: str, reads: str | None) -> Json:
    if name == "k":
        return {"id": name, "kind": "compute", "expr": f"nodes.{reads}.output"}
    return {"id": name, "kind": "compose", "prompt": f"{name} of ${{nodes.{reads}.output}}" if reads else name}


BASE: Json = {
    "version": 1,
    "name": "report",
    "inputs": {"type": "object", "additionalProperties": True},
    "nodes": [
        *({"id": name, "kind": "compute", "expr": f"inputs.{given}"} for name, given in DATA.items()),
        *(node(name, reads) for name, reads in READS.items()),
    ],
    "layout": [{"slot": name, "title": name.upper(), "node": name} for name in READS],
    "output": "${nodes.d0.output}",
}


def compiled(document: Json) -> Plan:
    return requests.compiled(document)


def page(document: Json, inputs: Mapping[str, Json]) -> PageDraft:
    """A page whose every node was run: what a node gives tells its definition and all that it read."""
    plan = compiled(document)
    outputs: dict[str, Json] = {}
    for name in plan.order:
        needs = [outputs[need] for need in sorted(plan.needs[name])]
        read = inputs[DATA[name]] if name in DATA else None
        definition = plan.nodes[name].model_dump(mode="json", exclude_unset=True, exclude={"id"})
        outputs[name] = {"of": definition, "read": [*needs, read]}
    return PageDraft(plan.blueprint.to_json(), dict(inputs), outputs, (), (), Usage())


@dataclass(frozen=True)
class Change:
    """One side's sentence."""

    rewrite: frozenset[str] = frozenset()
    retitle: frozenset[str] = frozenset()
    remove: frozenset[str] = frozenset()
    add: str | None = None
    """What a new section reads."""
    inputs: Mapping[str, int] = field(default_factory=dict)

    def on(self, document: Json, inputs: Mapping[str, Json], *, by: str) -> tuple[Json, Mapping[str, Json]]:
        document = copy.deepcopy(document)
        gone = self.remove & {slot["slot"] for slot in document["layout"]}
        document["nodes"] = [one for one in document["nodes"] if one["id"] not in gone]
        document["layout"] = [one for one in document["layout"] if one["slot"] not in gone]
        for one in document["nodes"]:
            if one["id"] in self.rewrite and "prompt" in one:
                one["prompt"] += f" as {by} says"
        for slot in document["layout"]:
            if slot["slot"] in self.retitle:
                slot["title"] += f" of {by}"
        if self.add:
            names = {one["id"] for one in document["nodes"]}
            name = "added_2" if "added" in names else "added"
            document["nodes"].append({"id": name, "kind": "compose", "prompt": f"{by}: ${{nodes.{self.add}.output}}"})
            document["layout"].append({"slot": name, "title": "New", "node": name})
        return document, {**inputs, **self.inputs}


some = st.frozensets(st.sampled_from(list(READS)), max_size=2)
changes = st.builds(
    Change,
    rewrite=some,
    retitle=some,
    remove=some,
    add=st.sampled_from([None, "d0", "d1"]),
    inputs=st.dictionaries(st.sampled_from("xy"), st.integers(1, 2), max_size=1),
)


def footprint(change: Change) -> set[str]:
    """Slots whose value, title or place a change alters, and the data that it replaces or reads anew."""
    before, after = page(BASE, {"x": 0, "y": 0}), page(*change.on(BASE, {"x": 0, "y": 0}, by="one"))
    shown = [
        {slot["slot"]: (slot, one.outputs[slot["node"]]) for slot in one.blueprint["layout"]} for one in (before, after)
    ]
    slots = {name for name in READS if shown[0].get(name) != shown[1].get(name)}
    return slots | {name for name in DATA if before.outputs[name] != after.outputs[name]}


def written(change: Change) -> set[str]:
    """Data that what a change writes is made of."""
    return {reads for name in change.rewrite if (reads := READS[name])} | ({change.add} if change.add else set())


def one_of(base: PageDraft, ours: PageDraft, theirs: PageDraft) -> PageDraft | None:
    try:
        return merged(base, ours, theirs, compiled)
    except Conflict:
        return None


@given(ours=changes, theirs=changes)
def test_both_changes_are_made_or_neither_is_lost(ours: Change, theirs: Change) -> None:
    start: Mapping[str, Json] = {"x": 0, "y": 0}
    base = page(BASE, start)
    mine, other = page(*ours.on(BASE, start, by="us")), page(*theirs.on(BASE, start, by="them"))
    made = one_of(base, mine, other)
    if made is None:
        assert footprint(ours) & (footprint(theirs) | written(theirs)) or footprint(theirs) & written(ours)
        return
    expected = page(*ours.on(*theirs.on(BASE, start, by="them"), by="us"))
    assert orjson.dumps(made.blueprint["layout"]) == orjson.dumps(expected.blueprint["layout"])
    assert (made.blueprint, made.inputs) == (expected.blueprint, expected.inputs)
    assert orjson.dumps(made.outputs, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        expected.outputs, option=orjson.OPT_SORT_KEYS
    )


@given(change=changes)
def test_a_change_beside_none_is_itself(change: Change) -> None:
    base = page(BASE, {"x": 0, "y": 0})
    made = page(*change.on(BASE, base.inputs, by="us"))
    for ours, theirs in ((made, base), (base, made), (made, made)):
        again = merged(base, ours, theirs, compiled)
        assert (again.blueprint, again.inputs, dict(again.outputs)) == (made.blueprint, made.inputs, dict(made.outputs))


def side(**outputs: Json) -> PageDraft:
    """The base, with other outputs."""
    made = page(BASE, {"x": 0, "y": 0})
    return replace(made, outputs={**made.outputs, **outputs})


def test_one_and_one_point_nought_and_true_are_not_the_same() -> None:
    base = side(t0=1, t1=1)
    made = merged(base, side(t0=1.0, t1=1), side(t0=1, t1=True), compiled)
    assert (orjson.dumps(made.outputs["t0"]), orjson.dumps(made.outputs["t1"])) == (b"1.0", b"true")


def test_a_text_that_was_made_of_an_earlier_text_stays_as_in_any_change() -> None:
    document = {**BASE, "nodes": [*BASE["nodes"], {"id": "sum", "kind": "compose", "prompt": "${nodes.t0.output}"}]}
    document["layout"] = [*BASE["layout"], {"slot": "sum", "title": "Sum", "node": "sum"}]
    base = page(document, {"x": 0, "y": 0})
    ours = replace(base, outputs={**base.outputs, "sum": "shorter"})
    theirs = replace(base, outputs={**base.outputs, "t0": "longer"})
    made = merged(base, ours, theirs, compiled)
    assert (made.outputs["sum"], made.outputs["t0"]) == ("shorter", "longer")


def test_gaps_go_with_their_nodes() -> None:
    gap, item = Gap("node:t0", "tool", "Away."), Gap("node:t1[2]", "provider", "No.")
    base = replace(side(t0=None, t1=["a", "b", None]), gaps=(gap, item))
    ours = replace(side(t0="filled", t1=["a", "b", None]), gaps=(item,))
    theirs = replace(base, outputs={**base.outputs, "t3": "new"})
    assert list(merged(base, ours, theirs, compiled).gaps) == [item]
    assert list(merged(base, theirs, ours, compiled).gaps) == [item]


def test_sources_are_those_of_both_without_what_either_dropped() -> None:
    def of(*names: str) -> PageDraft:
        return replace(side(), sources=[{"document_id": name, "text": ""} for name in names])

    made = merged(of("a", "b", "c"), of("b", "c", "mine"), of("a", "c", "theirs"), compiled)
    assert [one["document_id"] for one in made.sources] == ["c", "theirs", "mine"]


def test_what_both_concern_is_named_by_its_title() -> None:
    with pytest.raises(Conflict, match=r"^the slot 'T0', the slot 'T3'$"):
        merged(side(), side(t0="a", t3="b"), side(t0="c", t3="d"), compiled)


def test_no_page_is_left_without_slots() -> None:
    half = sorted(READS)[:2]
    one, other = Change(remove=frozenset(half)), Change(remove=frozenset(READS) - set(half))
    ours, theirs = (page(*change.on(BASE, {"x": 0, "y": 0}, by="x")) for change in (one, other))
    with pytest.raises(Conflict, match="the slots that were left"):
        merged(side(), ours, theirs, compiled)


def test_what_one_reads_and_the_other_took_away_cannot_be() -> None:
    start = {"x": 0, "y": 0}
    reader = copy.deepcopy(BASE)
    reader["nodes"].append({"id": "added", "kind": "compose", "prompt": "${nodes.k.output}"})
    reader["layout"].append({"slot": "added", "title": "New", "node": "added"})
    without = Change(remove=frozenset({"k"})).on(BASE, start, by="them")
    with pytest.raises(RunFailed, match="cannot be run"):
        merged(page(BASE, start), page(reader, start), page(*without), compiled)


def test_new_sections_stand_before_what_follows_them() -> None:
    start = {"x": 0, "y": 0}

    def with_new(title: str, at: int) -> PageDraft:
        document = copy.deepcopy(BASE)
        document["nodes"].append({"id": "added", "kind": "compose", "prompt": title})
        document["layout"].insert(at, {"slot": "added", "title": title, "node": "added"})
        return page(document, start)

    made = merged(page(BASE, start), with_new("ours", 1), with_new("theirs", 3), compiled)
    assert [slot["title"] for slot in made.blueprint["layout"]] == ["T0", "ours", "T1", "T2", "theirs", "T3", "K"]
    assert len({slot["slot"] for slot in made.blueprint["layout"]}) == 7
