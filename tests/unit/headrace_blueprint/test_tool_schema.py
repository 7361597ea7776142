"""The schema that an editor gets: the tools' names and arguments are in it, and every field says what it is."""

from collections.abc import Mapping
from typing import Any

import jsonschema
import pytest
from headrace_blueprint import model, tools, validation
from headrace_blueprint.tools import Tool
from hypothesis import given

from tests.unit.headrace_blueprint.documents import EVERY_KIND, blueprint, compose, graphs

GRADES = Tool(
    "school.grades",
    "Lists a class's grades.",
    {
        "type": "object",
        "properties": {
            "class": {"type": "string", "description": "The class's id.", "title": "Class"},
            "subjects": {"type": "array", "items": {"$ref": "#/$defs/Subject"}},
            "page": {"$ref": "#/$defs/Page"},
        },
        "required": ["class"],
        "additionalProperties": False,
        "$defs": {"Subject": {"enum": ["maths", "art"]}, "Page": {"type": "integer", "minimum": 1}},
    },
)
ODD = Tool(
    "odd/na~me 1", "Takes anything.", {"type": "object", "properties": {"x": {"$ref": "#/$defs/X"}}, "$defs": {"X": True}}
)
TOOLS: Mapping[str, Tool] = {**tools.TOOLS, GRADES.name: GRADES, ODD.name: ODD}
SCHEMA = model.schema_with_tools(TOOLS)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
SCHEMAS = {name: tool.input_schema for name, tool in TOOLS.items()}


def call(tool: str, **args: Any) -> dict[str, Any]:
    return blueprint({"id": "x", "kind": "data", "tool": tool, "args": args})


def test_it_is_a_schema_and_leaves_the_published_one_alone() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert "allOf" not in model.SCHEMA["$defs"]["Data"]
    jsonschema.Draft202012Validator.check_schema(model.schema_with_tools({}))


@pytest.mark.parametrize(
    "document",
    [
        EVERY_KIND,
        call("time"),
        blueprint({"id": "x", "kind": "data", "tool": "time"}),
        call("calculator", expression="1"),
        call("search", query="${inputs.message}", top_k="${inputs.n}"),
        call("school.grades", **{"class": "3b", "subjects": ["maths", "${inputs.message}"], "page": 2}),
        call("school.grades", **{"class": ["${inputs.message}"], "subjects": {"a": {"b": ["${inputs.n}"]}}}),
        call("odd/na~me 1", x=1, y=2),
        blueprint(compose("x", tools=["time", "school.grades"])),
    ],
)
def test_what_is_valid_validates(document: dict[str, Any]) -> None:
    assert validation.validate(document, tools=SCHEMAS) == []
    assert list(VALIDATOR.iter_errors(document)) == []


@pytest.mark.parametrize(
    "document",
    [
        call("calculater", expression="1"),
        call("calculator"),
        blueprint({"id": "x", "kind": "data", "tool": "calculator"}),
        call("calculator", expression=1),
        call("calculator", expression="1", more=1),
        call("search", query="x", top_k="3"),
        call("school.grades", **{"class": "3b", "page": 0}),
        call("school.grades", **{"class": "3b", "subjects": ["music"]}),
        blueprint(compose("x", tools=["tim"])),
        blueprint({"id": "m", "kind": "map", "over": "${inputs.n}", "node": call("time", timezone=1)["nodes"][0]}),
    ],
)
def test_a_wrong_tool_or_argument_does_not(document: dict[str, Any]) -> None:
    assert validation.validate(document, tools=SCHEMAS)
    assert not VALIDATOR.is_valid(document)


@given(graphs())
def test_every_valid_graph_validates(document: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(document)


def test_an_editor_can_show_what_each_tool_and_argument_is() -> None:
    data = SCHEMA["$defs"]["Data"]
    assert data["properties"]["tool"]["enum"] == list(TOOLS)
    assert data["properties"]["tool"]["enumDescriptions"] == [tool.description for tool in TOOLS.values()]
    (then,) = [one["then"] for one in data["allOf"] if one["if"]["properties"]["tool"]["const"] == "school.grades"]
    args = then["properties"]["args"]
    assert args["description"] == GRADES.description
    assert args["properties"]["class"]["title"] == "Class"
    assert args["properties"]["class"]["description"] == "The class's id."
    assert SCHEMA["$defs"]["Compose"]["properties"]["tools"]["anyOf"][0]["items"]["enum"] == list(TOOLS)


def test_every_field_of_the_language_has_a_description() -> None:
    for name, shape in [("Blueprint", model.SCHEMA), *model.SCHEMA["$defs"].items()]:
        assert shape["description"], name
        for field, one in shape["properties"].items():
            assert one.get("description"), f"{name}.{field}"
