"""The eval of planners says what a plan lacks, and where it came from."""

import orjson
import pytest
from headrace_llm.registry import ModelEntry, Registry
from headrace_planner.model import Origin
from rich.console import Console

from tests.eval import planner
from tests.eval.planner_cases import CASES, TOOLS, Case
from tests.support.models import ScriptedModels

GOOD = {
    "name": "Comments",
    "nodes": [
        {
            "id": "pupils",
            "kind": "data",
            "tool": "school.list_students",
            "args": {"class_id": "${inputs.entities.class.id}"},
        },
        {"id": "notes", "kind": "map", "title": "Notes", "over": "${nodes.pupils.output}", "prompt": "On ${item.name}"},
    ],
}


def test_there_are_twenty_requests_of_both_languages_whose_tools_there_are() -> None:
    assert len(CASES) == 20
    assert sum(case.message.isascii() for case in CASES) == 10
    assert {tool for case in CASES for tool in case.tools} <= {tool.name for tool in TOOLS}


@pytest.mark.parametrize(
    ("case", "lacking"),
    [
        (Case("", tools=("school.list_students",), maps=True), []),
        (Case("", tools=("canteen.menu",), retrieves=True, slots=2), ["tool canteen.menu", "search", "2 slots"]),
        (Case("", mentions=("class.id", "60")), ["60"]),
    ],
)
def test_what_a_plan_lacks_is_named(case: Case, lacking: list[str]) -> None:
    plan = {"nodes": GOOD["nodes"], "layout": [{}]}
    assert planner.lacks(case, plan) == lacking


async def test_each_request_is_asked_and_summed_up() -> None:
    registry = Registry.of([ModelEntry(id="big", model="scripted/big", context_tokens=32_768)])
    models = ScriptedModels([orjson.dumps(GOOD).decode()], otherwise="no plan", registry=registry)
    found = [one async for one in planner.results(models, CASES[2:4])]
    assert [(one.plan.origin, list(one.lacks)) for one in found] == [
        (Origin.MODEL, []),
        (Origin.TEMPLATE, ["tool school.list_students", "map"]),
    ]
    console = Console(record=True, width=160)
    console.print(planner.table(found, "Plans"))
    text = console.export_text()
    assert "2 requests" in text
    assert "1 lack nothing" in text
    assert "model 1  repaired 0  template 1" in text
