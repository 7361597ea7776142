"""Branches, maps and flows: what runs, under which name, what readers see, and what a failure leaves."""

import asyncio
from typing import Any, ClassVar

import pytest
from headrace_blueprint.flows import MAX_FLOW_DEPTH, MAX_FLOWS
from headrace_executor.errors import LeaseLost, RunFailed
from headrace_executor.model import FailureCode
from headrace_llm.errors import ProviderRejected, ProviderUnavailable

from tests.support.executor_fakes import FakeModels, FakeWorkflows, answer
from tests.unit.headrace_executor.engine.world import World, blueprint

Json = Any
LIST = {"type": "object", "properties": {"xs": {}, "n": {"type": "integer", "default": 1}}}


def compute(name: str, expr: str, **more: Json) -> Json:
    return {"id": name, "kind": "compute", "expr": expr, **more}


def over(inner: Json, **more: Json) -> Json:
    return {"id": "a", "kind": "map", "over": "${inputs.xs}", "node": inner, **more}


class Picky(FakeModels):
    """Refuses prompts that hold a word, for good or the first time."""

    def __init__(self, word: str, error: Exception, *, once: bool = False) -> None:
        super().__init__()
        self.word, self.error, self.once = word, error, once

    async def stream(self, request: Any) -> Any:
        if self.word in request.messages[0].content:
            self.word = "\0" if self.once else self.word
            self.requests.append(request)
            yield "half"
            raise self.error
        async for piece in super().stream(request):
            yield piece


class TestBranch:
    NODES = (
        {
            "id": "a",
            "kind": "branch",
            "cases": [{"when": "inputs.n > 10", "then": ["big"]}, {"when": "inputs.n > 5", "then": ["big", "mid"]}],
            "else": ["small"],
        },
        compute("big", "1"),
        compute("mid", "2"),
        compute("small", "3"),
        compute("after", "nodes.mid.output == null"),
    )

    @pytest.mark.parametrize(
        ("n", "case", "ran"),
        [(20, 0, ["big"]), (7, 1, ["big", "mid"]), (1, None, ["small"])],
        ids=["first", "second", "else"],
    )
    async def test_the_first_true_case_runs_and_the_rest_is_skipped(self, n: int, case: Json, ran: list[str]) -> None:
        world = World()
        done = await world.run(blueprint(*self.NODES), inputs={"n": n})
        assert done.output == {"case": case, "then": ran}
        assert [name for name in ("big", "mid", "small") if done.outputs[name] is not None] == ran
        assert done.outputs["after"] is ("mid" not in ran)
        assert len(world.values("skipped")) == 3 - len(ran)

    async def test_a_node_that_one_of_two_branches_chose_runs(self) -> None:
        second = {"id": "b", "kind": "branch", "cases": [{"when": "true", "then": []}], "else": ["small"]}
        done = await World().run(blueprint(*self.NODES, second), inputs={"n": 1})
        assert done.outputs["small"] == 3
        assert done.outputs["b"] == {"case": 0, "then": []}

    async def test_a_branch_that_is_skipped_chooses_nothing(self) -> None:
        branch, *others = self.NODES
        done = await World().run(blueprint({**branch, "when": "false"}, *others), inputs={"n": 1})
        assert [done.outputs[name] for name in ("a", "big", "mid", "small")] == [None] * 4

    async def test_a_case_that_is_no_truth_fails(self) -> None:
        node = {"id": "a", "kind": "branch", "cases": [{"when": "inputs.n", "then": []}]}
        assert "neither true nor false" in (await World().fails(blueprint(node), inputs={"n": 1})).failure.message


class TestMap:
    INNER: ClassVar[Json] = {"id": "one", "kind": "compose", "prompt": "say ${item}"}

    async def test_each_item_is_a_step_with_its_own_message(self) -> None:
        world = World()
        done = await world.run(blueprint(over(self.INNER)), inputs={"xs": ["x", "y"]})
        assert done.output == [answer("say x"), answer("say y")]
        assert {"node:a", "node:a[0]", "node:a[1]"} == set(world.log.steps)
        starts = {one["messageId"] for one in world.log.events if one["type"] == "TEXT_MESSAGE_START"}
        assert starts == {"r1:a[0]", "r1:a[1]"}

    async def test_the_item_has_its_name_in_expressions_and_conditions(self) -> None:
        inner = compute("one", "row.n * inputs.n", when="row.n > 1")
        done = await World().run(blueprint(over(inner, **{"as": "row"})), inputs={"xs": [{"n": 1}, {"n": 2}], "n": 10})
        assert done.output == [None, 20]

    @pytest.mark.parametrize(
        ("value", "said"), [("text", "a text"), ({"x": 1}, "an object"), (None, "null"), (3, "a number")]
    )
    async def test_what_is_no_list_fails_clearly(self, value: Json, said: str) -> None:
        failed = await World().fails(blueprint(over(self.INNER)), inputs={"xs": value})
        assert failed.failure.message == f"Node 'a': it runs over a list, and ${{inputs.xs}} is {said}; refer to a list."

    async def test_more_items_than_its_max_fail_and_say_so(self) -> None:
        failed = await World().fails(blueprint(over(self.INNER, max=2)), inputs={"xs": [1, 2, 3]})
        assert "has 3 items, 2 are allowed (max)" in failed.failure.message

    async def test_an_optional_item_that_fails_is_null_and_the_others_stay(self) -> None:
        world = World(models=Picky(" y", ProviderRejected("no")))
        done = await world.run(blueprint(over({**self.INNER, "on_error": "continue"})), inputs={"xs": ["x", "y", "z"]})
        assert done.output == [answer("say x"), None, answer("say z")]
        assert [(gap.step, gap.code) for gap in done.gaps] == [("node:a[1]", "provider")]
        assert [value["step"] for value in world.values("gap")] == ["node:a[1]"]

    async def test_an_item_that_fails_names_its_place(self) -> None:
        failed = await World(models=Picky(" y", ProviderRejected("no"))).fails(
            blueprint(over(self.INNER)), inputs={"xs": ["x", "y"]}
        )
        assert failed.failure.message.startswith("Node 'a[1]': ")

    async def test_an_optional_map_leaves_one_gap_and_nothing_open(self) -> None:
        world = World(models=Picky(" y", ProviderRejected("no")))
        after = compute("b", "nodes.a.output == null")
        done = await world.run(
            blueprint(over(self.INNER, on_error="continue"), after, output="b", slots=["a"]), inputs={"xs": ["x", "y"]}
        )
        assert done.output is True
        assert [gap.step for gap in done.gaps] == ["node:a"]
        assert world.deltas()[-1] == {"op": "add", "path": "/page/slots/a", "value": None}
        cut = [one for one in world.log.events if one["type"] == "STEP_FINISHED" and "metadata" in one]
        assert "node:a[1]" in {one["stepName"] for one in cut}

    async def test_a_slot_shows_nulls_and_then_each_item(self) -> None:
        world = World()
        await world.run(blueprint(over(compute("one", "item * 2")), slots=["a"]), inputs={"xs": [1, 2]})
        assert world.deltas() == [
            {"op": "add", "path": "/page/slots/a", "value": [None, None]},
            {"op": "replace", "path": "/page/slots/a/0", "value": 2},
            {"op": "replace", "path": "/page/slots/a/1", "value": 4},
        ]

    async def test_a_later_owner_runs_only_the_items_that_are_left(self) -> None:
        world = World()
        document = blueprint(over(self.INNER, concurrency=1), slots=["a"])
        with pytest.raises(LeaseLost):
            await world.run(document, inputs={"xs": list("wxyz")}, crash_at=3)
        kept = len(world.log.steps)
        assert kept == 2
        seen = len(world.log.events)
        done = await world.run(document, inputs={"xs": list("wxyz")})
        assert done.output == [answer(f"say {x}") for x in "wxyz"]
        assert world.models.prompts() == {"say w": 1, "say x": 1, "say y": 2, "say z": 1}
        world.log.events = world.log.events[seen:]
        assert [one["value"] for one in world.deltas()][:3] == [[None] * 4, answer("say w"), answer("say x")]

    async def test_a_gap_is_not_tried_again_by_a_later_owner(self) -> None:
        world = World(models=Picky(" y", ProviderRejected("no")))
        document = blueprint(over({**self.INNER, "on_error": "continue"}), compute("b", "1", needs=["a"]), output="b")
        with pytest.raises(LeaseLost):
            await world.run(document, inputs={"xs": ["y"]}, crash_at=4, crash_commits=True)
        asked = len(world.models.requests)
        done = await world.run(document, inputs={"xs": ["y"]})
        assert len(world.models.requests) == asked
        assert [gap.step for gap in done.gaps] == ["node:a[0]"]

    async def test_a_map_that_is_tried_again_keeps_the_items_that_it_has(self) -> None:
        models = Picky(" y", ProviderUnavailable("cut"), once=True)
        inner = {**self.INNER, "retry": {"attempts": 1, "backoff_s": 0}}
        node = over(inner, concurrency=1, retry={"attempts": 2, "backoff_s": 0})
        world = World(models=models)
        done = await world.run(blueprint(node), inputs={"xs": ["x", "y"]})
        assert done.output == [answer("say x"), answer("say y")]
        assert models.prompts() == {"say x": 1, "say y": 2}


class TestFlow:
    DOUBLE = blueprint(compute("a", "inputs.n * 2"), inputs=LIST)
    CALL: ClassVar[Json] = {"id": "a", "kind": "flow", "workflow_id": "double", "inputs": {"n": 4}}

    def world(self, **more: Json) -> World:
        return World(workflows=FakeWorkflows({"double": self.DOUBLE, **more}))

    async def test_a_saved_workflow_runs_as_one_node(self) -> None:
        world = self.world()
        done = await world.run(blueprint(self.CALL))
        assert done.output == 8
        assert {"flows", "node:a", "node:a/a"} == set(world.log.steps)
        assert world.log.steps["flows"].output == {"double": {"revision": 1, "blueprint": self.DOUBLE}}

    async def test_its_inputs_have_defaults_and_are_checked(self) -> None:
        done = await self.world().run(blueprint({**self.CALL, "inputs": {}}))
        assert done.output == 2
        failed = await self.world().fails(blueprint({**self.CALL, "inputs": {"n": "four"}}))
        assert failed.failure.message.startswith("Node 'a': The inputs do not fit the blueprint: /inputs/n:")

    async def test_it_runs_inside_a_map_and_its_layout_is_ignored(self) -> None:
        page = blueprint(compute("a", "inputs.n * 2"), inputs=LIST, slots=["a"])
        world = World(workflows=FakeWorkflows({"page": page}))
        inner = {"id": "one", "kind": "flow", "workflow_id": "page", "inputs": {"n": "${item}"}}
        done = await world.run(blueprint(over(inner)), inputs={"xs": [1, 2]})
        assert done.output == [2, 4]
        assert "node:a[1]/a" in world.log.steps
        assert world.deltas() == []

    async def test_a_later_owner_takes_the_same_revisions(self) -> None:
        world = self.world()
        document = blueprint(self.CALL, compute("b", "1", needs=["a"]), output="a")
        with pytest.raises(LeaseLost):
            await world.run(document, crash_at=2, crash_commits=True)
        world.workflows.blueprints["double"] = blueprint(compute("a", "inputs.n * 100"), inputs=LIST)
        done = await world.run(document)
        assert done.output == 8
        assert world.workflows.asked == ["double"]

    async def test_an_unknown_workflow_is_named_before_anything_runs(self) -> None:
        world = World()
        failed = await world.fails(blueprint(compute("b", "1"), self.CALL))
        assert failed.failure.code is FailureCode.INVALID_BLUEPRINT
        assert "There is no saved workflow 'double'" in failed.failure.message
        assert not [name for name in world.steps("STARTED") if name.startswith("node:")]

    async def test_a_flow_that_comes_back_to_itself_is_refused_with_its_path(self) -> None:
        calls = {"id": "a", "kind": "flow", "workflow_id": "two"}
        back = {"id": "a", "kind": "flow", "workflow_id": "double"}
        world = self.world(double=blueprint(calls), two=blueprint(back))
        assert "double → two → double" in (await world.fails(blueprint(self.CALL))).failure.message

    async def test_a_saved_workflow_that_runs_itself_is_refused_with_its_path(self) -> None:
        back = {"id": "a", "kind": "flow", "workflow_id": "me"}
        failed = await self.world(double=blueprint(back)).fails(blueprint(self.CALL), workflow_id="me")
        assert "me → double → me" in failed.failure.message

    async def test_flows_nest_no_deeper_than_the_limit(self) -> None:
        last = MAX_FLOW_DEPTH
        chain = {f"w{n}": blueprint({"id": "a", "kind": "flow", "workflow_id": f"w{n + 1}"}) for n in range(last)}
        world = World(workflows=FakeWorkflows({**chain, f"w{last}": self.DOUBLE}))
        too_deep = blueprint({"id": "a", "kind": "flow", "workflow_id": "w0"})
        assert " → ".join(f"w{n}" for n in range(last + 1)) in (await world.fails(too_deep)).failure.message
        assert (await world.run(blueprint({"id": "a", "kind": "flow", "workflow_id": "w1"}))).output == 2

    async def test_a_workflow_that_cannot_run_is_named(self) -> None:
        failed = await self.world(double={"version": 1}).fails(blueprint(self.CALL))
        assert failed.failure.message.startswith("The workflow 'double' cannot be run: ")

    async def test_a_run_without_saved_workflows_says_so(self) -> None:
        world = World(workflows=None)  # type: ignore[arg-type]
        assert "no saved workflow" in (await world.fails(blueprint(self.CALL))).failure.message


async def test_a_run_uses_no_more_workflows_than_the_limit() -> None:
    names = [f"w{n}" for n in range(MAX_FLOWS + 1)]
    nodes = [{"id": name, "kind": "flow", "workflow_id": name} for name in names]
    world = World(workflows=FakeWorkflows(dict.fromkeys(names, TestFlow.DOUBLE)))
    assert f"more than {MAX_FLOWS} workflows" in (await world.fails(blueprint(*nodes, output="w0"))).failure.message
    assert len(world.workflows.asked) == MAX_FLOWS
    assert (await world.run(blueprint(*nodes[1:], output="w1"))).output == 2


async def test_cancelling_a_run_stops_all_that_is_inside_it() -> None:
    started: list[str] = []
    stopped: list[str] = []

    class Hanging(FakeModels):
        async def stream(self, request: Any) -> Any:
            started.append(request.messages[0].content)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                stopped.append(request.messages[0].content)
                raise
            yield ""

    say = blueprint({"id": "a", "kind": "compose", "prompt": "say ${inputs.n}"}, inputs=LIST)
    world = World(models=Hanging(), workflows=FakeWorkflows({"say": say}))
    inner = {"id": "one", "kind": "flow", "workflow_id": "say", "inputs": {"n": "${item}"}, "on_error": "continue"}
    other = {"id": "b", "kind": "compose", "prompt": "beside", "on_error": "continue"}
    task = asyncio.create_task(world.run(blueprint(over(inner, concurrency=3), other), inputs={"xs": [1, 2, 3, 4]}))
    async with asyncio.timeout(10):
        while len(started) < 4:
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(stopped) == ["beside", "say 1", "say 2", "say 3"]
    assert not world.values("gap")


async def test_a_failure_of_ours_in_an_optional_node_is_a_gap_that_tells_nothing() -> None:
    world = World(models=FakeModels(failures=[ZeroDivisionError("secret")]))
    done = await world.run(
        blueprint({"id": "a", "kind": "compose", "prompt": "x", "on_error": "continue"}, compute("b", "1"), output="b")
    )
    (gap,) = done.gaps
    assert gap.code == "internal"
    assert "secret" not in gap.message


async def test_a_lost_lease_is_no_gap() -> None:
    node = {"id": "a", "kind": "compose", "prompt": "x", "on_error": "continue"}
    world = World(models=FakeModels(failures=[LeaseLost("r1")]))
    with pytest.raises(LeaseLost):
        await world.run(blueprint(node))
    assert world.log.steps == {}


async def test_a_failing_node_beside_a_gap_still_ends_the_run() -> None:
    nodes = [compute("a", "1 / 0 + inputs.n", on_error="continue"), compute("b", "nodes.a.output + 1")]
    with pytest.raises(RunFailed, match="Node 'b'"):
        await World().run(blueprint(*nodes), inputs={"n": 1})
