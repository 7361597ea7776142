"""docs/blueprints.md is true: its blueprints are valid or have exactly the faults that it shows.

Comments before an example say what it shows: `faults:` the pointers, `inputs: … output: …` a run. The executor's tests run
the latter through the engine: `examples()` has them.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from headrace_blueprint import cel_engine, fit, flows, limits, model, schemas, scope, sources, tools, validation
from headrace_blueprint.expressions import MAX_LOOPS, MAX_NESTING, MAX_TOKENS
from headrace_blueprint.plan import compile_plan
from headrace_blueprint.references import MAX_PATH

Json = Any

FILE = Path(__file__).parents[3] / "docs/blueprints.md"
TEXT = FILE.read_text()
BLOCK = re.compile(
    r"(?P<comments>(?:<!-- [^\n]* -->\n)*)```json\n(?P<json>.*?)```\n(?:```text\n(?P<text>.*?)```\n)?", re.DOTALL
)
RUN = re.compile(r"<!-- inputs: (?P<inputs>\{.*\}) output: (?P<output>.*) -->")
FAULTS = re.compile(r"<!-- faults: (?P<pointers>\S+(?: /\S*)*)(?: workflows: (?P<workflows>\[.*\]))? -->")
TOOLS: Mapping[str, Mapping[str, Json]] = {**tools.SCHEMAS, "school.events": {"type": "object"}}
"""What the page's blueprints may call."""


@dataclass(frozen=True)
class Run:
    """What a blueprint is given and what it then answers."""

    inputs: Mapping[str, Json]
    output: Json


@dataclass(frozen=True)
class Example:
    """One blueprint of the page."""

    title: str
    """The heading above it, and its number below that."""
    document: Mapping[str, Json]
    runs: Sequence[Run]
    """Those that need no model and no network."""
    pointers: Sequence[str]
    """Of its faults; none for a valid one."""
    said: str
    """Its faults as the page shows them."""
    workflows: Sequence[str] | None


def examples() -> Sequence[Example]:
    """Every blueprint of the page, in its order."""
    found: list[Example] = []
    for match in BLOCK.finditer(TEXT):
        heading = re.findall(r"^##+ (.*)$", TEXT[: match.start()], re.MULTILINE)[-1]
        number = 1 + sum(one.title.startswith(f"{heading} ") for one in found)
        faults = FAULTS.search(match["comments"])
        workflows = json.loads(faults["workflows"]) if faults and faults["workflows"] else None
        runs = [Run(json.loads(run["inputs"]), json.loads(run["output"])) for run in RUN.finditer(match["comments"])]
        pointers = faults["pointers"].split() if faults else []
        document = json.loads(match["json"])
        found.append(Example(f"{heading} {number}", document, runs, pointers, match["text"] or "", workflows))
    return found


EXAMPLES = examples()
VALID = [one for one in EXAMPLES if not one.pointers]
WRONG = [one for one in EXAMPLES if one.pointers]


def test_every_block_and_every_comment_is_read() -> None:
    assert len(EXAMPLES) == TEXT.count("```json") >= 30
    assert sum(len(one.runs) for one in EXAMPLES) + len(WRONG) == TEXT.count("<!-- ")
    assert len(WRONG) == TEXT.count("```text")


@pytest.mark.parametrize("example", VALID, ids=lambda one: one.title)
def test_a_whole_example_is_valid_and_compiles(example: Example) -> None:
    assert validation.validate(example.document, tools=TOOLS) == []
    assert compile_plan(validation.parse(example.document, tools=TOOLS)).order


@pytest.mark.parametrize("example", WRONG, ids=lambda one: one.title)
def test_a_wrong_example_has_exactly_the_faults_that_are_shown(example: Example) -> None:
    found = validation.validate(example.document, tools=TOOLS, workflows=example.workflows)
    assert [fault.pointer or "/" for fault in found] == example.pointers
    lines = [f"{one.pointer or '/'}: {one.message}" + (f" ({one.hint})" if one.hint else "") for one in found]
    assert lines == example.said.splitlines()


def test_the_page_uses_every_kind_and_every_field() -> None:
    nodes = [node for one in VALID for node in one.document["nodes"]]
    nodes += [node["node"] for node in nodes if node["kind"] == "map"]
    assert {node["kind"] for node in nodes} == model.ALL
    used = {field for node in nodes for field in node}
    named = set(re.findall(r"`([a-z_]+)`", TEXT))
    for kind, shape in model.NODE_TYPES.items():
        assert set(model.field_names(shape)) <= used | named, kind


@pytest.mark.parametrize("example", [one for one in EXAMPLES if one.runs], ids=lambda one: one.title)
def test_an_example_that_is_run_needs_no_model_and_no_network(example: Example) -> None:
    nodes = [node.get("node", node) for node in example.document["nodes"]]
    assert {node["kind"] for node in nodes} <= {"compute", "branch", "data"}
    assert {node["tool"] for node in nodes if node["kind"] == "data"} <= {"calculator"}


def test_every_limit_is_the_one_that_holds() -> None:
    section = TEXT.split("\n## Limits\n", 1)[1].split("\n## ", 1)[0]
    cells = re.findall(r"\| ([^|]+?) \| (\d[^|]*?) (?=\|)", section.replace("| |", "|\n|"))
    numbers = {name: [int(one.replace(" ", "")) for one in re.findall(r"\d[\d ]*\d|\d", text)] for name, text in cells}
    assert numbers.pop("document") == [1, limits.MAX_DEPTH, limits.MAX_VALUES, limits.MAX_NAME]
    assert limits.MAX_BYTES == 1024 * 1024
    assert numbers == {
        "nodes; slots": [model.MAX_NODES],
        "prompt, query": [model.MAX_TEXT],
        "cases of a branch": [20],
        "CEL source": [model.MAX_EXPRESSION, MAX_TOKENS],
        "items of a map": [model.MAX_ITEMS],
        "all CEL of a document": [sources.MAX_WEIGHT],
        "items at once": [16],
        "brackets and conditionals in CEL": [MAX_NESTING],
        "tools of a compose node": [32],
        "loops in CEL": [MAX_LOOPS],
        "rounds of its calls": [model.MAX_ITERATIONS],
        "references": [scope.MAX_REFERENCES, MAX_PATH],
        "tries of a node": [5],
        "all schemas of a document": [schemas.MAX_VALUES],
        "one try": [int(model.MAX_TIMEOUT_S)],
        "all arguments of its tools": [schemas.MAX_ARGUMENTS],
        "workflows inside each other": [flows.MAX_FLOW_DEPTH],
        "faults listed": [validation.MAX_FAULTS],
        "workflows reached": [flows.MAX_FLOWS],
        "checks of a run's inputs": [fit.MAX_WORK, fit.MAX_WORK // 2],
    }


def test_every_function_that_the_page_names_exists() -> None:
    section = TEXT.split("\n## Compute\n", 1)[1].split("\n## ", 1)[0].split("```", 1)[0]
    named = set(re.findall(r"`(\w+)`", section)) - {"expr", "item"}
    assert len(named) > 10
    assert named <= cel_engine.FUNCTIONS
