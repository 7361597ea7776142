"""What changed something outside is stored before the run goes on; what did not may be done again."""

import pytest
from headrace_executor.errors import LeaseLost

from tests.support.toolbox import FakeToolbox, tool
from tests.unit.headrace_executor.engine.world import World, blueprint

NODES = (
    {"id": "a", "kind": "data", "tool": "school.send"},
    {"id": "b", "kind": "compute", "expr": "nodes.a.output"},
)


@pytest.mark.parametrize(("idempotent", "calls"), [(False, 1), (True, 2)], ids=["it sends", "it reads"])
async def test_a_later_owner_makes_a_call_again_only_if_that_does_no_harm(idempotent: bool, calls: int) -> None:
    toolbox = FakeToolbox([tool("school.send", idempotent=idempotent)], {"school.send": lambda _: "sent"})
    world = World(toolbox=toolbox)
    with pytest.raises(LeaseLost):
        await world.run(blueprint(*NODES, output="b"), crash_at=2)
    done = await world.run(blueprint(*NODES, output="b"))
    assert done.output == "sent"
    assert len(toolbox.calls) == calls


async def test_a_results_event_names_the_step_that_has_it_whole() -> None:
    toolbox = FakeToolbox([tool("school.send")], {"school.send": lambda _: "x" * 100_000})
    world = World(toolbox=toolbox)
    await world.run(blueprint(NODES[0]))
    (told,) = [event for event in world.log.events if event["type"] == "TOOL_CALL_RESULT"]
    assert '"step":"node:a"' in told["content"]
