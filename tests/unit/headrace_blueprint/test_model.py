"""The published JSON Schema and the models accept and refuse the same documents."""

import copy
from typing import Any

import jsonschema
import pydantic
import pytest
from headrace_blueprint.model import SCHEMA, Blueprint

from tests.unit.headrace_blueprint.documents import EVERY_KIND, blueprint, compose

VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def accepted(document: Any) -> bool:
    try:
        Blueprint.model_validate(document)
    except pydantic.ValidationError:
        return False
    return True


def changed(path: str, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(EVERY_KIND)
    *parents, last = path.split("/")
    holder: Any = document
    for part in parents:
        holder = holder[int(part) if part.isdigit() else part]
    holder[last] = value
    return document


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("document", [EVERY_KIND, blueprint(compose("a")), changed("nodes/0/timeout_s", 3)])
def test_both_accept(document: Any) -> None:
    assert accepted(document)
    assert VALIDATOR.is_valid(document)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        blueprint(),
        changed("version", 2),
        changed("version", "1"),
        changed("name", ""),
        changed("extra", 1),
        changed("nodes/0/kind", "retreive"),
        changed("nodes/0/top_k", "3"),
        changed("nodes/0/top_k", 0),
        changed("nodes/0/id", "a-b"),
        changed("nodes/0/mode", "fast"),
        changed("nodes/0/timeout_s", 0),
        changed("nodes/0/prompt", "x"),
        changed("nodes/4/node", {"id": "q", "kind": "branch", "cases": []}),
        changed("nodes/6/retry", {"attempts": 0}),
        changed("nodes/6/schema_", {}),
        changed("layout", [{"slot": "a"}]),
        changed("output", 3),
    ],
)
def test_both_refuse(document: Any) -> None:
    assert not accepted(document)
    assert not VALIDATOR.is_valid(document)
