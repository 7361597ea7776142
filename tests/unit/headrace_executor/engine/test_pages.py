"""Pages that runs make, and what one sentence changes of them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson
import pytest
from headrace_executor import events
from headrace_executor.engine.limits import Limits
from headrace_executor.engine.pipeline import RunPipeline
from headrace_executor.errors import LeaseLost, RunFailed
from headrace_executor.model import ClaimedRun, FailureCode, Outcome, RunKind
from headrace_executor.ports import PageDraft, PageRef, Patched, StoredPage
from headrace_llm.errors import ProviderRejected
from headrace_runtime import errors

from tests.support import agui
from tests.support.executor_fakes import (
    NOW,
    PAID,
    FakeCel,
    FakeJournal,
    FakeModels,
    FakePages,
    FakePlanner,
    FakeRag,
    FakeRouter,
    FakeSessions,
    FakeWorkflows,
    answer,
    claimed,
    no_sleep,
)
from tests.unit.headrace_executor.engine.world import blueprint

Json = Any
INSTRUCTION = "make the summary shorter"
NAMES = [f"s{number}" for number in range(11)]
SHORT = blueprint({"id": "a", "kind": "compose", "prompt": "about ${inputs.message}"}, slots=["a"])
TWELVE = blueprint(
    *({"id": name, "kind": "compose", "prompt": f"write {name} of ${{inputs.x}}"} for name in NAMES),
    {"id": "summary", "kind": "compose", "prompt": "sum up " + " ".join(f"${{nodes.{name}.output}}" for name in NAMES)},
    output="summary",
    slots=[*NAMES, "summary"],
)


class World:
    """A pipeline with its pages; each run has an id of its own."""

    def __init__(self, document: Json = TWELVE, **patched: Json) -> None:
        self.pages: FakePages = FakePages()
        self.models, self.rag = FakeModels(), FakeRag()
        self.workflows = FakeWorkflows()
        self.router, self.planner = FakeRouter("patch"), FakePlanner(document)
        self.document = document
        self.planner.patched = self.patched(**patched)
        self.limits = Limits()
        self.runs = 0

    def patched(self, **changes: Json) -> Patched:
        fields = {"blueprint": self.document, "inputs": {"x": "mills"}, "nodes": ("summary",), "rewritten": ("summary",)}
        fields |= {"origin": "model", "warnings": (), "usage": PAID}
        return Patched(**{**fields, **changes})

    @property
    def pipeline(self) -> RunPipeline:
        return RunPipeline(
            router=self.router,
            planner=self.planner,
            rag=self.rag,
            models=self.models,
            sessions=FakeSessions(),
            cel=FakeCel(),
            workflows=self.workflows,
            pages=self.pages,
            limits=self.limits,
            now=lambda: NOW,
            sleep=no_sleep,
            jitter=lambda: 1.0,
        )

    async def run(self, kind: RunKind, body: Mapping[str, Json]) -> tuple[Outcome, FakeJournal]:
        self.runs += 1
        journal = FakeJournal(claimed(body, kind=kind, run_id=f"r{self.runs}"))
        outcome = await self.pipeline.run(journal)
        journal.finish(events.run_finished("s1", f"r{self.runs}", result=outcome.output, usage=[], outcome="success"))
        agui.check(journal.log.events)
        return outcome, journal

    async def page(self) -> tuple[Outcome, FakeJournal]:
        return await self.run(RunKind.PAGE, {"blueprint": self.document, "inputs": {"x": "mills"}})

    async def patch(self, **body: Json) -> tuple[Outcome, FakeJournal]:
        return await self.run(RunKind.PATCH, {"instruction": INSTRUCTION, **(body or {"page_id": "p1"})})


def slots(outcome: Outcome) -> dict[str, bytes]:
    """The values of a page's slots as bytes."""
    return {slot["slot"]: orjson.dumps(slot["value"]) for slot in outcome.output["page"]["slots"]}


def of_type(journal: FakeJournal, kind: str) -> list[Mapping[str, Json]]:
    return [event for event in journal.log.events if event["type"] == kind]


class TestPages:
    async def test_a_run_keeps_its_page_as_its_last_step(self) -> None:
        world = World()
        outcome, journal = await world.page()
        assert outcome.output["page"] | {"slots": []} == {"page_id": "p1", "version": 1, "title": "test", "slots": []}
        assert list(journal.log.steps)[-1] == "page"
        (draft,) = world.pages.drafts
        assert draft.blueprint == TWELVE
        assert draft.inputs == {"x": "mills"}
        assert draft.outputs["s0"] == answer("write s0 of mills")
        assert draft.usage.total.llm_calls == 12

    async def test_a_blueprint_without_a_layout_makes_none(self) -> None:
        world = World(blueprint({"id": "a", "kind": "compute", "expr": "1"}))
        outcome, journal = await world.page()
        assert "page_id" not in outcome.output["page"]
        assert "page" not in journal.log.steps

    async def test_a_conversation_that_builds_keeps_its_page_too(self) -> None:
        world = World(SHORT)
        world.router.intent = "build"
        outcome, _ = await world.run(RunKind.CONVERSATION, {"message": "x"})
        assert outcome.output["page"]["page_id"] == "p1"

    async def test_the_store_may_be_away_for_a_moment(self) -> None:
        world = World()
        world.pages.failures = [errors.Unavailable("restarting")]
        outcome, _ = await world.page()
        assert outcome.output["page"]["version"] == 1

    async def test_a_gap_stands_in_its_slot(self) -> None:
        node = {"id": "a", "kind": "compose", "prompt": "x", "on_error": "continue"}
        world = World(blueprint(node, {"id": "b", "kind": "compute", "expr": "1"}, output="b", slots=["a", "b"]))
        world.models.failures = [ProviderRejected("no")]
        outcome, _ = await world.page()
        gap = {"code": "provider", "message": "The model's provider failed: no."}
        assert outcome.output["page"]["slots"][0] == {"slot": "a", "title": "A", "node": "a", "value": None, "gap": gap}
        assert outcome.output["gaps"] == [{"step": "node:a", **gap}]
        assert world.pages.drafts[0].gaps[0].step == "node:a"

    async def test_sources_are_what_searches_found_in_maps_too(self) -> None:
        inner = {"id": "one", "kind": "retrieve", "query": "${item}"}
        node = {"id": "a", "kind": "map", "over": "${inputs.xs}", "node": inner}
        world = World(blueprint(node, slots=["a"]))
        await world.run(RunKind.PAGE, {"blueprint": world.document, "inputs": {"xs": ["u", "v"]}})
        assert {one["text"] for one in world.pages.drafts[0].sources} == {"about u", "about v"}


class TestPatches:
    async def test_one_sentence_costs_one_call_and_leaves_eleven_slots_as_they_were(self) -> None:
        world = World()
        before, _ = await world.page()
        asked = len(world.models.requests)
        outcome, journal = await world.patch()
        assert len(world.models.requests) == asked + 1
        old, new = slots(before), slots(outcome)
        assert {name for name in old if old[name] != new[name]} == {"summary"}
        assert outcome.output["page"]["version"] == 2
        assert "node:s0" not in {event["stepName"] for event in of_type(journal, "STEP_STARTED")}

    async def test_the_model_sees_its_prompt_its_text_and_the_sentence(self) -> None:
        world = World()
        before, _ = await world.page()
        await world.patch()
        prompt, earlier, sentence = world.models.requests[-1].messages
        assert prompt.content.startswith("sum up ")
        assert (earlier.role, earlier.content) == ("assistant", orjson.loads(slots(before)["summary"]))
        assert sentence.content == f"{INSTRUCTION}\n\nAnswer with the whole new text only."

    async def test_readers_get_the_old_values_and_then_what_changed(self) -> None:
        world = World()
        before, _ = await world.page()
        outcome, journal = await world.patch()
        (snapshot,) = of_type(journal, "STATE_SNAPSHOT")
        old = {name: orjson.loads(value) for name, value in slots(before).items()}
        assert snapshot["snapshot"]["page"]["slots"] == old
        paths = [patch["path"] for event in of_type(journal, "STATE_DELTA") for patch in event["delta"]]
        assert paths == ["/page/slots/summary"]
        assert orjson.loads(slots(outcome)["summary"]) != old["summary"]

    async def test_the_version_is_kept_with_its_parent_and_its_sentence(self) -> None:
        world = World()
        await world.page()
        await world.patch()
        draft = world.pages.drafts[-1]
        assert draft.parent is not None
        assert (draft.parent.page_id, draft.parent.version) == ("p1", 1)
        assert draft.instruction == INSTRUCTION
        assert draft.outputs.keys() == set(NAMES) | {"summary"}

    async def test_the_planner_sees_the_slots_and_how_they_begin(self) -> None:
        world = World()
        world.models.say = lambda _: "long " * 500
        await world.page()
        await world.patch()
        (asked,) = world.planner.changes
        assert asked["instruction"] == INSTRUCTION
        assert [view.slot for view in asked["slots"]] == [*NAMES, "summary"]
        assert {len(view.preview) for view in asked["slots"]} == {400}

    async def test_whoever_takes_it_over_changes_the_same_version(self) -> None:
        world = World()
        await world.page()
        body = {"instruction": INSTRUCTION, "page_id": "p1"}
        first = FakeJournal(claimed(body, kind=RunKind.PATCH, run_id="r8"), crash_at=13, crash_commits=False)
        with pytest.raises(LeaseLost):
            await world.pipeline.run(first)
        world.pages.versions["p1"][-1].draft.outputs["s0"] = "changed meanwhile"  # type: ignore[index]
        second = FakeJournal(claimed(body, kind=RunKind.PATCH, run_id="r8", attempt=2), log=first.log)
        outcome = await world.pipeline.run(second)
        assert len(world.planner.changes) == 1
        assert orjson.loads(slots(outcome)["s0"]) == answer("write s0 of mills")

    async def test_a_session_changes_its_newest_page(self) -> None:
        world = World()
        await world.page()
        outcome, journal = await world.run(RunKind.CONVERSATION, {"message": INSTRUCTION})
        assert outcome.output["intent"]["kind"] == "patch"
        assert outcome.output["page"]["version"] == 2
        assert not world.planner.calls
        assert "route" in journal.log.steps

    async def test_a_session_without_a_page_plans_a_build(self) -> None:
        world = World(SHORT)
        outcome, _ = await world.run(RunKind.CONVERSATION, {"message": INSTRUCTION})
        assert world.planner.calls[0]["intent"] == "build"
        assert outcome.output["page"]["version"] == 1

    async def test_a_page_of_the_request_is_changed_without_a_parent(self) -> None:
        world = World()
        values = {name: f"text {name}" for name in [*NAMES, "summary"]}
        shown = [{"slot": name, "title": name, "node": name, "value": value} for name, value in values.items()]
        outcome, _ = await world.patch(page={"blueprint": TWELVE, "inputs": {"x": "mills"}, "slots": shown})
        assert len(world.models.requests) == 1
        assert {name: orjson.loads(one) for name, one in slots(outcome).items()} | {"summary": ""} == {
            **values,
            "summary": "",
        }
        assert world.pages.drafts[0].parent is None

    async def test_what_the_requests_page_does_not_show_runs_only_if_it_is_needed(self) -> None:
        nodes = [
            {"id": "needed", "kind": "compute", "expr": "'n'"},
            {"id": "useless", "kind": "compose", "prompt": "costly"},
            {"id": "a", "kind": "compose", "prompt": "${nodes.needed.output}"},
            {"id": "b", "kind": "compose", "prompt": "${nodes.useless.output}"},
        ]
        world = World(blueprint(*nodes, slots=["a", "b"]), nodes=("a",), rewritten=("a",))
        shown = [{"slot": name, "title": name, "node": name, "value": f"text {name}"} for name in "ab"]
        outcome, journal = await world.patch(page={"blueprint": world.document, "inputs": {}, "slots": shown})
        assert orjson.loads(slots(outcome)["b"]) == "text b"
        assert {"node:needed", "node:a", "node:b"} == {name for name in journal.log.steps if name.startswith("node:")}
        assert len(world.models.requests) == 1

    async def test_a_gap_stays_unless_it_is_named(self) -> None:
        nodes = [
            {"id": "a", "kind": "compose", "prompt": "x", "on_error": "continue"},
            {"id": "b", "kind": "compose", "prompt": "y"},
        ]
        world = World(blueprint(*nodes, output="b", slots=["a", "b"]), nodes=("b",), rewritten=("b",))
        world.limits = Limits(max_parallel_nodes=1)
        world.models.failures = [ProviderRejected("no")]
        await world.page()
        outcome, _ = await world.patch()
        assert outcome.output["page"]["slots"][0]["gap"]["code"] == "provider"
        world.planner.patched = world.patched(nodes=("a",), rewritten=())
        outcome, _ = await world.patch()
        assert "gap" not in outcome.output["page"]["slots"][0]
        assert orjson.loads(slots(outcome)["a"]) == answer("x")

    async def test_items_of_a_map_are_rewritten_one_by_one(self) -> None:
        inner = {"id": "one", "kind": "compose", "prompt": "say ${item}"}
        world = World(
            blueprint({"id": "a", "kind": "map", "over": "${inputs.xs}", "node": inner}, slots=["a"]),
            nodes=("a",),
            rewritten=("a",),
            inputs={"xs": ["u", "v"]},
        )
        await world.run(RunKind.PAGE, {"blueprint": world.document, "inputs": {"xs": ["u", "v"]}})
        await world.patch()
        assert [request.messages[1].content for request in world.models.requests[2:]] == [answer("say u"), answer("say v")]

    @pytest.mark.parametrize(
        ("nodes", "output", "seen"),
        [
            ([{"id": "w", "kind": "compose", "prompt": "write ${inputs.x}"}], "nodes.w.output", "earlier"),
            (
                [
                    {"id": "w", "kind": "compose", "prompt": "write ${inputs.x}"},
                    {"id": "c", "kind": "compute", "expr": "nodes.w.output"},
                ],
                "nodes.c.output",
                "sentence",
            ),
            ([{"id": "f", "kind": "flow", "workflow_id": "deep", "inputs": {}}], "nodes.f.output", "earlier"),
            ([{"id": "d", "kind": "compute", "expr": "'d'"}], "nodes.d.output", "nothing"),
        ],
        ids=["compose", "compute", "flow", "data"],
    )
    async def test_a_flow_is_written_anew_by_the_node_that_its_output_stands_for(
        self, nodes: Json, output: str, seen: str
    ) -> None:
        flow = {"id": "letter", "kind": "flow", "workflow_id": "letter", "inputs": {"x": "mills"}}
        world = World(blueprint(flow, output="letter", slots=["letter"]), nodes=("letter",), rewritten=("letter",))
        inner = {**blueprint(*nodes), "output": f"${{{output}}}"}
        deep = {**blueprint({"id": "a", "kind": "compose", "prompt": "deep"}), "output": "${nodes.a.output}"}
        world.workflows.blueprints = {"letter": inner, "deep": deep}
        before, _ = await world.page()
        asked = len(world.models.requests)
        await world.patch()
        messages = [[one.content for one in request.messages] for request in world.models.requests[asked:]]
        prompt = world.models.requests[0].messages[0].content if asked else ""
        told = [prompt, orjson.loads(slots(before)["letter"]), f"{INSTRUCTION}\n\nAnswer with the whole new text only."]
        expected = {"earlier": [told], "sentence": [[f"{prompt}\n\n{INSTRUCTION}"]], "nothing": []}
        assert messages == expected[seen]

    async def test_a_new_title_runs_no_node_and_asks_no_model(self) -> None:
        world = World()
        before, _ = await world.page()
        asked = len(world.models.requests)
        layout = [{**slot, "title": "Overview"} if slot["slot"] == "s0" else slot for slot in TWELVE["layout"]]
        world.planner.patched = world.patched(blueprint={**TWELVE, "layout": layout}, nodes=(), rewritten=())
        outcome, journal = await world.patch()
        assert [slot["title"] for slot in outcome.output["page"]["slots"]][:2] == ["Overview", "S1"]
        assert slots(outcome) == slots(before)
        assert len(world.models.requests) == asked
        assert {event["stepName"] for event in of_type(journal, "STEP_STARTED")} == {"plan", "page"}

    async def test_a_new_slot_runs_and_a_removed_one_costs_nothing(self) -> None:
        world = World()
        await world.page()
        new = {"id": "more", "kind": "compose", "prompt": "more of ${nodes.s1.output}"}
        nodes = [node for node in TWELVE["nodes"] if node["id"] != "summary"]
        changed = blueprint(*nodes, new, output="more", slots=[*NAMES, "more"])
        world.planner.patched = world.patched(blueprint=changed, nodes=("more",), rewritten=())
        outcome, _ = await world.patch()
        assert len(world.models.requests) == 13
        assert list(slots(outcome)) == [*NAMES, "more"]

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ({"page_id": "p9"}, "There is no page 'p9'"),
            ({"page": {"blueprint": TWELVE}}, "no slots"),
            ({"page": {"blueprint": {}, "slots": []}}, "cannot be run"),
        ],
    )
    async def test_a_page_that_cannot_be_changed_fails_clearly(self, body: Json, said: str) -> None:
        with pytest.raises(RunFailed, match=said) as caught:
            await World().patch(**body)
        assert caught.value.failure.code is FailureCode.INVALID_BLUEPRINT

    async def test_a_sentence_that_concerns_no_slot_fails_with_the_planners_words(self) -> None:
        world = World()
        await world.page()
        world.planner.patched = Patched(None, None, (), (), "", (), PAID, unclear="it concerns no slot")
        journal = FakeJournal(claimed({"instruction": "hmm", "page_id": "p1"}, kind=RunKind.PATCH, run_id="r2"))
        with pytest.raises(RunFailed, match="it concerns no slot") as caught:
            await world.pipeline.run(journal)
        assert caught.value.failure.code is FailureCode.INVALID_BLUEPRINT
        assert journal.lost_usage == PAID, "the run has paid for the model that could not tell"


class RacedPages(FakePages):
    """Lets others go first when a version is about to be saved."""

    def __init__(self) -> None:
        super().__init__()
        self.before: list[Callable[[], Awaitable[object]]] = []

    async def save(self, run: ClaimedRun, draft: PageDraft) -> PageRef:
        if draft.parent is not None and self.before:
            await self.before.pop()()
        return await super().save(run, draft)


class RacedWorld(World):
    """A page whose slots other runs rewrite while one run works on it."""

    def __init__(self) -> None:
        super().__init__()
        self.pages: RacedPages = RacedPages()
        self.said = 0
        self.models.say = self.say

    def say(self, _: str) -> str:
        self.said += 1
        return f"text {self.said}"

    def rewrites(self, slot: str, **changes: Json) -> Callable[[], Awaitable[tuple[Outcome, FakeJournal]]]:
        async def patch() -> tuple[Outcome, FakeJournal]:
            self.planner.patched = self.patched(nodes=(slot,), rewritten=(slot,), **changes)
            return await self.patch(page_id="p1")

        return patch


class TestChangesOfOneMoment:
    async def test_both_are_on_the_page(self) -> None:
        world = RacedWorld()
        before, _ = await world.page()
        world.pages.before = [world.rewrites("s1")]
        outcome, journal = await world.rewrites("s0")()
        assert outcome.output["page"]["version"] == 3
        old, new = slots(before), slots(outcome)
        assert {name for name in old if old[name] != new[name]} == {"s0", "s1"}
        stored = world.pages.versions["p1"][-1]
        assert stored.draft.parent == PageRef("p1", 2)
        assert {name: orjson.dumps(stored.draft.outputs[name]) for name in new} == new
        last = of_type(journal, "STATE_SNAPSHOT")[-1]["snapshot"]["page"]["slots"]
        assert {name: orjson.dumps(value) for name, value in last.items()} == new

    async def test_a_run_merges_as_often_as_others_are_first(self) -> None:
        world = RacedWorld()
        before, _ = await world.page()
        world.pages.before = [world.rewrites(f"s{number}") for number in range(1, 6)]
        outcome, _ = await world.rewrites("s0")()
        changed = {name for name, value in slots(before).items() if slots(outcome)[name] != value}
        assert (outcome.output["page"]["version"], changed) == (7, {f"s{number}" for number in range(6)})

    async def test_who_takes_over_after_the_merge_has_the_merged_page(self) -> None:
        world = RacedWorld()
        await world.page()
        world.pages.before = [world.rewrites("s1")]
        outcome, journal = await world.rewrites("s0")()
        heir = FakeJournal(replace(journal.run, attempt=2), log=journal.log)
        again = await world.pipeline.run(heir)
        assert again.output["page"] == outcome.output["page"]
        journal.log.steps.pop("page")  # its answer was lost with the owner
        again = await world.pipeline.run(FakeJournal(replace(journal.run, attempt=3), log=journal.log))
        assert again.output["page"] == outcome.output["page"]

    async def test_what_cannot_both_be_kept_fails_and_says_what_to_do(self) -> None:
        world = RacedWorld()
        await world.page()
        world.pages.before = [world.rewrites("s0")]
        with pytest.raises(RunFailed) as caught:
            await world.rewrites("s0")()
        failure = caught.value.failure
        assert failure.code is FailureCode.CONFLICT
        assert failure.message.startswith(f"This change was not kept: meanwhile version 2 (“{INSTRUCTION}”)")
        assert "the slot 'S0'" in failure.message
        assert "send the sentence again" in failure.message
        assert len(world.pages.versions["p1"]) == 2

    async def test_it_is_not_merged_for_ever(self) -> None:
        world = RacedWorld()
        await world.page()

        async def moves() -> None:
            world.pages.before.append(moves)
            latest = world.pages.versions["p1"][-1]
            world.pages.versions["p1"].append(StoredPage(PageRef("p1", latest.ref.version + 1), latest.draft))

        world.pages.before = [moves]
        with pytest.raises(RunFailed, match="changed 16 times") as caught:
            await world.rewrites("s0")()
        assert caught.value.failure.code is FailureCode.CONFLICT

    async def test_a_version_that_the_request_means_is_the_one_that_is_changed(self) -> None:
        world = RacedWorld()
        before, _ = await world.page()
        await world.rewrites("s1")()
        world.planner.patched = world.patched(nodes=("s0",), rewritten=("s0",))
        outcome, _ = await world.patch(page_id="p1", version=1)
        changed = {name for name, value in slots(before).items() if slots(outcome)[name] != value}
        assert (outcome.output["page"]["version"], changed) == (3, {"s0", "s1"})
        assert world.planner.changes[-1]["slots"][1].preview == orjson.loads(slots(before)["s1"])
