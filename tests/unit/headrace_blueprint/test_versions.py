"""What was published stays: documents of version 1 as it was first written are read, planned and written as they were then.

tests/data/blueprints has them, the plans that were made of them, and the schema of that time. None of it is changed; a
field that the language gets later comes with documents of its own.
"""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pydantic
import pytest
from headrace_blueprint import tools, validation
from headrace_blueprint.model import ALL, SCHEMA, VERSIONS, Blueprint
from headrace_blueprint.plan import compile_plan
from hypothesis import given

from tests.unit.headrace_blueprint.documents import EVERY_KIND
from tests.unit.headrace_blueprint.from_schema import documents

DATA = Path(__file__).parents[2] / "data/blueprints"
FROZEN = json.loads((DATA / "v1.schema.json").read_text())
PLANS = json.loads((DATA / "v1.plans.json").read_text())
CORPUS = {file.stem: json.loads(file.read_text()) for file in sorted((DATA / "v1").glob("*.json"))}
PRESENT = jsonschema.Draft202012Validator(SCHEMA)


@pytest.mark.parametrize("name", CORPUS)
def test_a_document_of_that_time_is_read_planned_and_written_as_then(name: str) -> None:
    document = CORPUS[name]
    assert validation.validate(document, tools=tools.SCHEMAS) == []
    parsed = validation.parse(document, tools=tools.SCHEMAS)
    made = compile_plan(parsed)

    assert parsed.to_json() == document
    assert list(made.order) == PLANS[name]["order"]
    assert {name: sorted(needs) for name, needs in made.needs.items()} == PLANS[name]["needs"]


@pytest.mark.parametrize("name", CORPUS)
def test_both_schemas_accept_it(name: str) -> None:
    assert list(jsonschema.Draft202012Validator(FROZEN).iter_errors(CORPUS[name])) == []
    assert list(PRESENT.iter_errors(CORPUS[name])) == []


def test_the_corpus_has_every_kind_and_every_field_of_that_time() -> None:
    nodes = [node for document in CORPUS.values() for node in document["nodes"]]
    nodes += [node["node"] for node in nodes if node["kind"] == "map"]
    assert {node["kind"] for node in nodes} == ALL
    for name, shape in FROZEN["$defs"].items():
        if "kind" in shape["properties"]:
            used = {field for node in nodes if node["kind"] == name.lower() for field in node}
            assert used == set(shape["properties"]), name
    assert set(PLANS) == set(CORPUS)
    assert {field for document in CORPUS.values() for field in document} == set(FROZEN["properties"])


@given(documents(FROZEN))
def test_what_the_schema_of_that_time_accepts_the_present_ones_accept(document: Any) -> None:
    assert jsonschema.Draft202012Validator(FROZEN).is_valid(document)
    assert PRESENT.is_valid(document)
    assert Blueprint.model_validate(document).to_json() == document


@given(documents(SCHEMA))
def test_the_published_schema_accepts_nothing_that_the_models_refuse(document: Any) -> None:
    assert PRESENT.is_valid(document)
    try:
        Blueprint.model_validate(document)
    except pydantic.ValidationError as error:
        raise AssertionError(document) from error


@pytest.mark.parametrize("version", [0, 2, 99, "1", 1.5, True, None, [1], {"major": 1}])
def test_an_unknown_version_is_one_fault_that_names_the_known_ones(version: object) -> None:
    document = {**EVERY_KIND, "version": version, "nodes": [{"kind": "loop"}], "steps": []}
    (fault,) = validation.validate(document, tools=tools.SCHEMAS)
    assert fault.pointer == "/version"
    assert json.dumps(version, separators=(",", ":")) in fault.message
    assert all(str(known) in fault.hint for known in VERSIONS)


def test_a_document_without_a_version_lacks_a_field() -> None:
    document = {name: value for name, value in EVERY_KIND.items() if name != "version"}
    (fault,) = validation.validate(document, tools=tools.SCHEMAS)
    assert (fault.pointer, fault.hint) == ("/version", "add it")
