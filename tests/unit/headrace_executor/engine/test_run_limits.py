"""What one run may use: places, nodes, bytes, retries, time. Each refusal names its limit."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from headrace_executor.engine.limits import Limits
from headrace_executor.engine.metrics import PARALLEL_NODES
from headrace_executor.engine.places import Places
from headrace_executor.errors import LeaseLost
from headrace_executor.model import FailureCode
from headrace_llm.errors import ProviderUnavailable
from headrace_runtime import errors

from tests.support import virtual_time
from tests.support.executor_fakes import NOW, FakeModels, FakeRag, FakeWorkflows, answer
from tests.unit.headrace_executor.engine.world import World, blueprint

Json = Any
LIST = {"id": "a", "kind": "map", "over": "${inputs.xs}", "node": {"id": "one", "kind": "compute", "expr": "item"}}


def compute(name: str, expr: str, **more: Json) -> Json:
    return {"id": name, "kind": "compute", "expr": expr, **more}


def compose(name: str, prompt: str = "say", **more: Json) -> Json:
    return {"id": name, "kind": "compose", "prompt": prompt, **more}


class Silent(FakeModels):
    """Never answers."""

    async def stream(self, request: Any) -> Any:
        self.requests.append(request)
        await asyncio.Event().wait()
        yield ""


def on_virtual_time(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario()

    virtual_time.run(main())


class TestPlaces:
    async def test_a_run_has_no_more_than_its_own_and_all_runs_no_more_than_the_replicas(self) -> None:
        replica = asyncio.Semaphore(3)
        runs = [Places(2, replica=replica) for _ in range(2)]
        held: list[int] = []
        most: list[int] = [0, 0, 0]
        go = asyncio.Event()

        async def work(run: int) -> None:
            async with runs[run].hold():
                held.append(run)
                most[run] = max(most[run], held.count(run))
                most[2] = max(most[2], len(held))
                await go.wait()
                held.remove(run)

        before = PARALLEL_NODES._value.get()
        tasks = [asyncio.create_task(work(number % 2)) for number in range(8)]
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(held) == 3
        assert PARALLEL_NODES._value.get() == before + 3
        go.set()
        await asyncio.gather(*tasks)
        assert most[0] == 2
        assert most[1] <= 2
        assert most[2] == 3
        assert PARALLEL_NODES._value.get() == before

    async def test_a_pause_lends_the_place_and_a_cancelled_one_gives_it_back_once(self) -> None:
        places = Places(1, replica=asyncio.Semaphore(1))
        order: list[str] = []
        resting = asyncio.Event()

        async def rest(_: float) -> None:
            resting.set()
            await asyncio.Event().wait()

        async def first() -> None:
            async with places.hold() as hold:
                await hold.pause(1, sleep=rest)

        task = asyncio.create_task(first())
        await resting.wait()
        async with places.hold():
            order.append("second")
            task.cancel()
            await asyncio.wait({task})
        async with asyncio.timeout(5), places.hold():
            order.append("third")
        assert order == ["second", "third"]

    async def test_maps_and_flows_hold_none_so_that_one_place_is_enough(self) -> None:
        flow = blueprint({**LIST, "over": "${inputs.xs}"}, inputs={"properties": {"xs": {}}}, output="a")
        inner = {"id": "one", "kind": "flow", "workflow_id": "w", "inputs": {"xs": "${item}"}}
        world = World(
            workflows=FakeWorkflows({"w": flow}), limits=Limits(max_parallel_nodes=1, max_parallel_nodes_per_replica=1)
        )
        async with asyncio.timeout(10):
            done = await world.run(blueprint({**LIST, "node": inner}), inputs={"xs": [[1, 2], [3]]})
        assert done.output == [[1, 2], [3]]


class TestNodes:
    async def test_a_run_begins_no_more_nodes_than_it_may_and_says_so_before_a_map_begins(self) -> None:
        world = World(limits=Limits(max_run_nodes=4))
        failed = await world.fails(blueprint(LIST), inputs={"xs": [1, 2, 3, 4]})
        assert "more than 4 nodes" in failed.failure.message
        assert "(max_run_nodes)" in failed.failure.message
        assert world.steps("STARTED") == ["node:a"]

    async def test_optional_nodes_do_not_get_past_it(self) -> None:
        nodes = [compute(name, "1", on_error="continue") for name in "abc"]
        failed = await World(limits=Limits(max_run_nodes=2)).fails(blueprint(*nodes))
        assert "(max_run_nodes)" in failed.failure.message


class TestBytes:
    async def test_items_count_toward_the_run(self) -> None:
        world = World(limits=Limits(max_run_bytes=100))
        failed = await world.fails(blueprint(LIST), inputs={"xs": ["x" * 40, "y" * 40, "z" * 40]})
        assert "(max_run_bytes)" in failed.failure.message

    async def test_one_output_that_is_too_large_can_be_a_gap_and_its_message_is_closed(self) -> None:
        world = World(models=FakeModels(say=lambda _: "\0" * 100), limits=Limits(max_output_bytes=200))
        done = await world.run(blueprint(compose("a", on_error="continue")))
        assert "(max_output_bytes)" in done.gaps[0].message
        kinds = [one["type"] for one in world.log.events]
        assert kinds.index("TEXT_MESSAGE_END") < kinds.index("CUSTOM")


class TestRetries:
    async def test_all_nodes_share_one_budget_and_the_last_failure_names_it(self) -> None:
        class Cut(FakeModels):
            async def stream(self, request: Any) -> Any:
                prompt = request.messages[0].content
                if "b" in prompt or self.prompts()[prompt] < 2:
                    self.requests.append(request)
                    raise ProviderUnavailable("cut")
                async for piece in super().stream(request):
                    yield piece

        models = Cut()
        policy = {"attempts": 5, "backoff_s": 0}
        nodes = [compose("a", "a", retry=policy), compose("b", "b", needs=["a"], retry=policy)]
        failed = await World(models=models, limits=Limits(retry_budget=4)).fails(blueprint(*nodes, output="b"))
        assert failed.failure.message.startswith("Node 'b': The model's provider failed: cut.")
        assert "4 in all nodes (retry_budget), are spent" in failed.failure.message
        assert models.prompts() == {"a": 3, "b": 3}

    async def test_back_off_doubles_up_to_its_limit_and_half_of_it_is_chance(self) -> None:
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)

        models = FakeModels(failures=[ProviderUnavailable("cut") for _ in range(4)])
        node = compose("a", retry={"attempts": 5, "backoff_s": 2})
        world = World(models=models, sleep=sleep, limits=Limits(max_node_backoff_s=10))
        await world.run(blueprint(node))
        assert slept == [2, 4, 8, 10]


class TestTime:
    def test_no_attempt_goes_past_the_runs_deadline_and_the_models_are_told(self) -> None:
        async def scenario() -> None:
            models = FakeModels()
            world = World(models=models, changes={"deadline": NOW + timedelta(seconds=7)})
            await world.run(blueprint(compose("a", timeout_s=60)))
            assert models.requests[0].deadline_s == pytest.approx(7)

        on_virtual_time(scenario)

    def test_the_runs_deadline_is_no_gap_and_is_not_tried_again(self) -> None:
        async def scenario() -> None:
            models = Silent()
            world = World(models=models, changes={"deadline": NOW + timedelta(seconds=7)})
            node = compose("a", on_error="continue", retry={"attempts": 3, "backoff_s": 0})
            failed = await world.fails(blueprint({**LIST, "node": {**node, "id": "one"}}), inputs={"xs": [1]})
            assert failed.failure.code is FailureCode.DEADLINE
            assert "the run was not done by its deadline" in failed.failure.message
            assert len(models.requests) == 1
            assert asyncio.get_running_loop().time() == pytest.approx(7)

        on_virtual_time(scenario)

    def test_a_search_has_no_more_time_than_the_run(self) -> None:
        async def scenario() -> None:
            rag = FakeRag(failures=[errors.Unavailable("down") for _ in range(500)])
            world = World(rag=rag, sleep=asyncio.sleep, changes={"deadline": NOW + timedelta(seconds=3)})
            failed = await world.fails(blueprint({"id": "a", "kind": "retrieve", "query": "x"}))
            assert failed.failure.code in (FailureCode.DEADLINE, FailureCode.INTERNAL)
            assert asyncio.get_running_loop().time() <= 3.001

        on_virtual_time(scenario)

    def test_a_maps_time_is_that_of_all_its_items_together(self) -> None:
        async def scenario() -> None:
            models = Silent()
            node = {**LIST, "timeout_s": 5, "on_error": "continue", "node": compose("one", "say ${item}")}
            world = World(models=models)
            done = await world.run(blueprint(node, compute("b", "1"), output="b"), inputs={"xs": [1, 2]})
            assert [(gap.step, gap.code) for gap in done.gaps] == [("node:a", "deadline")]
            assert models.requests[0].deadline_s == pytest.approx(5)
            assert asyncio.get_running_loop().time() == pytest.approx(5)

        on_virtual_time(scenario)

    async def test_a_run_whose_time_is_over_begins_nothing(self) -> None:
        world = World(changes={"deadline": NOW})
        failed = await world.fails(blueprint(compose("a")))
        assert failed.failure.code is FailureCode.DEADLINE
        assert not world.models.requests


async def test_nodes_of_a_page_stand_inside_its_phases() -> None:
    nodes = [
        {"id": "d", "kind": "retrieve", "query": "x"},
        compute("c", "size(nodes.d.output.chunks)"),
        compose("a", "${nodes.c.output}"),
    ]
    world = World()
    await world.run(blueprint(*nodes, slots=["a"]))
    assert world.steps("STARTED") == ["data", "node:d", "compute", "node:c", "compose", "node:a"]
    assert world.steps("FINISHED") == ["node:d", "data", "node:c", "compute", "node:a", "compose"]
    assert world.log.steps["node:a"].output == answer("2")


async def test_a_phase_whose_nodes_have_all_ended_is_not_opened_again() -> None:
    nodes = [compute("c", "1"), compose("b", "${nodes.c.output}"), compose("a", "${nodes.b.output}")]
    document = blueprint(*nodes, slots=["a"])
    world = World()
    with pytest.raises(LeaseLost):
        await world.run(document, crash_at=2, crash_commits=True)
    seen = len(world.log.events)
    await world.run(document)
    world.log.events = world.log.events[seen:]
    assert world.steps("STARTED") == ["compose", "node:a"]


async def test_a_blueprint_without_a_layout_has_no_phases() -> None:
    world = World()
    await world.run(blueprint(compute("a", "1")))
    assert world.steps("STARTED") == ["node:a"]
