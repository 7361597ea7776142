"""A valid blueprint that is changed somewhere has a fault there; nothing makes the validator raise."""

import copy
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
from headrace_blueprint import tools, validation
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import trial
from tests.fuzz.mutation import mutated
from tests.support.examples import examples
from tests.unit.headrace_blueprint.documents import EVERY_KIND, JSON, graphs

CORPUS = [file.read_bytes() for file in sorted((Path(__file__).parents[2] / "data/blueprints/v1").glob("*.json"))]


def faults(document: object) -> dict[str, str]:
    found = validation.validate(document, tools=tools.SCHEMAS)
    return {fault.pointer: f"{fault.message} | {fault.hint}" for fault in found}


@settings(max_examples=examples(300))
@given(graphs() | st.just(EVERY_KIND), st.data())
def test_a_mutation_gives_faults_or_a_blueprint_and_never_an_exception(
    document: dict[str, Any], data: st.DataObject
) -> None:
    mutated = _mutated(copy.deepcopy(document), data)
    if validation.validate(mutated, tools=tools.SCHEMAS) == []:
        assert validation.parse(mutated, tools=tools.SCHEMAS)


def _mutated(document: Any, data: st.DataObject) -> Any:
    """Replace, drop or add a value somewhere."""
    holder = document
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = data.draw(st.sampled_from(keys)) if keys else None
        if key is not None and isinstance(holder[key], dict | list) and holder[key] and data.draw(st.booleans()):
            holder = holder[key]
            continue
        break
    match data.draw(st.sampled_from(["replace", "drop", "add"])):
        case "replace" if key is not None:
            holder[key] = data.draw(JSON)
        case "drop" if key is not None:
            del holder[key]
        case _:
            _add(holder, data)
    return document


def _add(holder: Any, data: st.DataObject) -> None:
    if isinstance(holder, dict):
        holder[data.draw(st.text(max_size=5))] = data.draw(JSON)
    else:
        holder.append(data.draw(JSON))


def places(document: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The paths of the fields that a schema of the language describes."""
    closed = {"", "retry", "node", *map(str, range(200))}
    if isinstance(document, list):
        return [place for index, item in enumerate(document) for place in places(item, (*path, index))]
    if not isinstance(document, dict) or str(path[-1] if path else "") not in closed:
        return []
    return [place for name, item in document.items() for place in ((*path, name), *places(item, (*path, name)))]


def at(document: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        document = document[part]
    return document


def rename(holder: dict[str, Any], name: str) -> str:
    holder[f"{name}q"] = holder.pop(name)
    return f"{name}q"


def retyped(holder: dict[str, Any], name: str) -> str:
    holder[name] = [3] if isinstance(holder[name], dict) else {"a": 1}
    return name


def widened(holder: dict[str, Any], _: str) -> str:
    holder["zz"] = 1
    return "zz"


MUTATIONS: Mapping[str, Callable[[dict[str, Any], str], str]] = {
    "an unknown field": widened,
    "a renamed field": rename,
    "a wrong type": retyped,
}


@settings(max_examples=examples(300))
@given(st.sampled_from([orjson.dumps(EVERY_KIND), *CORPUS]), st.randoms(use_true_random=False))
def test_what_the_fuzzer_makes_of_a_blueprint_is_read_without_an_exception(data: bytes, rng: random.Random) -> None:
    for _ in range(3):
        data = mutated(data, rng) or data
    assert trial.run(trial.DOCUMENT + data)


@settings(max_examples=examples(200))
@given(graphs(max_nodes=5) | st.just(EVERY_KIND), st.sampled_from(sorted(MUTATIONS)), st.data())
def test_a_fault_points_at_the_place_of_a_mutation(document: dict[str, Any], kind: str, data: st.DataObject) -> None:
    document = copy.deepcopy(document)
    place = data.draw(st.sampled_from(places(document)))
    if place == ("version",) or place[-1] in ("kind", "id"):
        return
    changed = MUTATIONS[kind](at(document, place[:-1]), str(place[-1]))
    found = faults(document)
    wanted = pointer_to((*place[:-1], changed))
    assert any(pointer == wanted or pointer.startswith(f"{wanted}/") for pointer in found), (wanted, found)


@given(graphs(max_nodes=5) | st.just(EVERY_KIND), st.data())
def test_a_missing_field_is_named_where_it_is_missing(document: dict[str, Any], data: st.DataObject) -> None:
    document = copy.deepcopy(document)
    index = data.draw(st.integers(0, len(document["nodes"]) - 1))
    node = document["nodes"][index]
    optional = {"needs", "when", "timeout_s", "retry", "args", "mode", "top_k", "else", "as", "inputs"}
    name = data.draw(st.sampled_from(sorted(set(node) - optional)))
    del node[name]
    assert (f"/nodes/{index}" if name == "kind" else f"/nodes/{index}/{name}") in faults(document)


@given(graphs(max_nodes=5), st.data())
def test_a_dangling_reference_points_at_its_string(document: dict[str, Any], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(document["nodes"]) - 1))
    node = document["nodes"][index]
    name = next((one for one in ("prompt", "query") if one in node), "when")
    lost = data.draw(st.sampled_from(["${nodes.gone.output}", "${inputs.gone}", "${gone}", "${nodes.gone"]))
    node[name] = "nodes.gone.output == null" if name == "when" else f"{node[name]} {lost}"
    assert list(faults(document)) == [f"/nodes/{index}/{name}"]


def pointer_to(path: tuple[str | int, ...]) -> str:
    return "".join(f"/{part}" for part in path)


@given(graphs(max_nodes=6), st.data())
def test_a_node_that_needs_itself_is_a_cycle_that_is_named(document: dict[str, Any], data: st.DataObject) -> None:
    node = data.draw(st.sampled_from(document["nodes"]))
    node["needs"] = [*node.get("needs", []), node["id"]]
    found = validation.validate(document, tools=tools.SCHEMAS)
    assert [f"{node['id']} → {node['id']}" in fault.message for fault in found] == [True]
