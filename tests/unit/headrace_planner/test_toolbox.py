"""Which tools a plan may call, and which of many a model is told."""

from typing import Any

from headrace_blueprint.tools import Tool
from headrace_planner import toolbox
from headrace_planner.model import Entity, Intent, Request

GRADES = Tool("school.grades", "Marks of a class.", {"type": "object", "properties": {"class_id": {}}})
PUPILS = Tool("school.pupils", "Lists who is in a class. 学生名单", {"type": "object", "properties": {"class_id": {}}})
OTHERS = tuple(Tool(f"crm.tool{at}", "Does something else.", {"type": "object"}) for at in range(30))


def request(message: str = "x", **fields: Any) -> Request:
    return Request("acme", Intent.BUILD, message, **fields)


def names(tools: Any) -> list[str]:
    return [tool.name for tool in tools]


def test_without_names_every_tool_may_be_used_the_callers_first() -> None:
    known, warnings = toolbox.allowed(request(tool_specs=(GRADES,)))
    assert names(known) == ["school.grades", "calculator", "time", "search"]
    assert warnings == ()


def test_names_restrict_and_unknown_ones_are_left_out_and_said() -> None:
    known, warnings = toolbox.allowed(request(tool_specs=(GRADES, PUPILS), tools=("time", "school.pupils", "telescope")))
    assert names(known) == ["school.pupils", "time"]
    assert warnings == ("there is no tool 'telescope'; it was left out",)


def test_few_tools_are_all_told() -> None:
    assert toolbox.relevant(OTHERS[:3], request("grades"), most=3) == OTHERS[:3]


def test_of_many_tools_those_that_the_message_speaks_of_are_told_in_their_order() -> None:
    many = (*OTHERS, PUPILS, GRADES)
    told = toolbox.relevant(many, request("Show the grade of each pupil"), most=4)
    assert names(told) == ["crm.tool0", "crm.tool1", "school.pupils", "school.grades"]
    assert names(toolbox.relevant(many, request("列出学生"), most=1)) == ["school.pupils"]


def test_what_the_message_speaks_of_counts_too() -> None:
    told = toolbox.relevant(
        (*OTHERS, GRADES), request("Report on 3B", entities=(Entity("class", "integer", "3B"),)), most=1
    )
    assert names(told) == ["school.grades"]
