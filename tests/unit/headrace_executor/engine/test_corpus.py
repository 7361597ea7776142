"""Every blueprint of the language's first version still runs, and gives what it gave."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from headrace_blueprint import validation
from headrace_executor.engine import requests

from tests.support.executor_fakes import FakeModels, FakeWorkflows
from tests.unit.headrace_executor.engine.world import World, blueprint

Json = Any
FILES = sorted((Path(__file__).parents[3] / "data/blueprints/v1").glob("*.json"))
INPUTS: Mapping[str, Json] = {
    "text": "mills",
    "n": 12,
    "list": ["123", "4567"],
    "name": "Ann",
    "other": [{"x": 1}],
    "whatever": 2,
}
"""Of which each blueprint is given what it declares."""
SAVED = blueprint({"id": "a", "kind": "compute", "expr": "inputs"})
OUTPUTS: Mapping[str, Json] = orjson.loads((FILES[0].parent.parent / "v1.outputs.json").read_bytes())
"""What each gave when it was new: outputs by node, and the blueprint's."""


def given(document: Json) -> Mapping[str, Json]:
    schema = document.get("inputs", {})
    known = schema.get("properties", {})
    return INPUTS if schema.get("additionalProperties") else {name: INPUTS[name] for name in known if name in INPUTS}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_an_old_blueprint_runs(file: Path) -> None:
    document = validation.loads(file.read_bytes())
    world = World(workflows=FakeWorkflows(dict.fromkeys(("class-report", "other", "report"), SAVED)))
    world.models = FakeModels(say=lambda prompt: orjson.dumps({"question": prompt, "options": ["u"]}).decode())
    plan = requests.compiled(document)
    done = await world.run(document, inputs=requests.inputs(plan, given(document)))
    assert done.outputs.keys() == set(plan.order)
    assert {"outputs": done.outputs, "output": done.output} == OUTPUTS[file.stem]
    assert not done.gaps
    assert {f"node:{name}" for name in plan.order} <= world.log.steps.keys()


def test_there_is_a_blueprint_of_each_kind() -> None:
    assert {"branch", "compose", "compute", "data", "flow", "map", "retrieve"} <= {file.stem for file in FILES}
    assert OUTPUTS.keys() == {file.stem for file in FILES}
