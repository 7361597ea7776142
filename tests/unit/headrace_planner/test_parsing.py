"""What models really answer: what is clear is mended at once, the rest is repaired, or the template answers."""

from typing import Any

import orjson
import pytest
from headrace_blueprint import references, tools, validation
from headrace_blueprint.tools import Tool
from headrace_llm.registry import ModelEntry, Registry
from headrace_planner import draft_schema, library, parsing
from headrace_planner.adapters.model_drafter import ModelDrafter
from headrace_planner.draft_schema import Language
from headrace_planner.drafting import Limits
from headrace_planner.model import RUNNABLE, Intent, Origin, Plan, Request
from headrace_planner.service import Planner
from hypothesis import given
from hypothesis import strategies as st

from tests.support.models import ScriptedModels

LIBRARY = library.load()
STUDENTS = Tool(
    "school.students",
    "Students of a class.",
    {"type": "object", "properties": {"class_id": {"type": "integer"}}, "required": ["class_id"]},
)
KNOWN = (STUDENTS,)
REGISTRY = Registry.of([ModelEntry(id="big", model="scripted/big", context_tokens=32_768)])

GOOD = (
    '{"name":"Class","nodes":[{"id":"pupils","kind":"data","tool":"school.students","args":{"class_id":3}},'
    '{"id":"text","kind":"compose","title":"Text","prompt":"Write on ${nodes.pupils.output}"}]}'
)


def node(**fields: Any) -> dict[str, Any]:
    return {"id": "text", "kind": "compose", "title": "Text", "prompt": "Write on ${inputs.message}"} | fields


def data(**fields: Any) -> dict[str, Any]:
    return {"id": "pupils", "kind": "data", "tool": "school.students", "args": {"class_id": 3}} | fields


def plan(*nodes: Any, **fields: Any) -> str:
    return orjson.dumps({"name": "Class", "nodes": list(nodes)} | fields).decode()


def without(one: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in one.items() if name != key}


READS = node(prompt="Write on ${nodes.pupils.output}")

MENDED: dict[str, tuple[str, Any]] = {
    "words around it": (f"Sure! Here is the plan:\n\n{GOOD}\n\nLet me know if {{something}} is unclear.", GOOD),
    "a fence in words": (f"Here it is:\n```json\n{GOOD}\n```\nIt has two nodes.", GOOD),
    "a fence without a name": (f"```\n{GOOD}\n```", GOOD),
    "thoughts before it": (f"<think>The class is {{3}}. I fetch it.</think>\n{GOOD}", GOOD),
    "a comma too many": (GOOD.replace('"}]}', '",},],}'), GOOD),
    "single quotes": (GOOD.replace('"', "'"), GOOD),
    "a line break in a string": (
        GOOD.replace("Write on ", "Write\non "),
        plan(data(), node(prompt="Write\non ${nodes.pupils.output}")),
    ),
    "nodes as an object": (
        orjson.dumps({"name": "Class", "nodes": {"pupils": without(data(), "id"), "text": without(READS, "id")}}).decode(),
        GOOD,
    ),
    "type for kind": (GOOD.replace('"kind"', '"type"'), GOOD),
    "a kind in capitals": (GOOD.replace('"compose"', '"Compose"'), GOOD),
    "double braces": (GOOD.replace("${nodes.pupils.output}", "{{nodes.pupils.output}}"), GOOD),
    "double braces and spaces": (GOOD.replace("${nodes.pupils.output}", "{{ pupils.output }}"), GOOD),
    "a node alone in braces": (GOOD.replace("${nodes.pupils.output}", "${pupils}"), GOOD),
    "a node without output": (GOOD.replace("${nodes.pupils.output}", "${nodes.pupils}"), GOOD),
    "no braces": (GOOD.replace("${nodes.pupils.output}", "$nodes.pupils.output"), GOOD),
    "no braces and no output": (GOOD.replace("${nodes.pupils.output}", "$nodes.pupils"), GOOD),
    "a message without inputs": (plan(node(prompt="Write on {{message}}")), plan(node())),
    "ids in capitals with hyphens": (GOOD.replace("pupils", "All-Pupils"), GOOD.replace("pupils", "all_pupils")),
    "ids in Chinese": (GOOD.replace("pupils", "学生"), GOOD.replace("pupils", "node")),
    "an id that is too long": (
        GOOD.replace("pupils", "all_pupils_of_the_class_3b"),
        GOOD.replace("pupils", "all_pupils_of_the_cl"),
    ),
    "keys of other languages": (
        plan(data(description="x", outputs=["y"]), {**READS, "depends_on": ["pupils"], "notes": 1}, version=1, edges=[]),
        GOOD,
    ),
    "needs in a circle": (plan(data(needs=["text"]), {**READS, "needs": ["pupils"]}), GOOD),
    "no title": (plan(data(), without(READS, "title")), GOOD),
    "no name": (GOOD.replace('"name":"Class",', ""), GOOD.replace('"name":"Class"', '"name":"Text"')),
    "no arguments where none are needed": (
        plan({"id": "now", "kind": "data", "tool": "time"}, node(prompt="At ${nodes.now.output}")),
        plan({"id": "now", "kind": "data", "tool": "time", "args": {}}, node(prompt="At ${nodes.now.output}")),
    ),
    "a map in the language's own form": (
        plan(
            data(),
            {
                "id": "notes",
                "kind": "map",
                "over": "nodes.pupils.output",
                "as": "pupil",
                "concurrency": 4,
                "node": {"id": "one", "kind": "compose", "prompt": "On ${pupil.name}"},
            },
        ),
        plan(
            data(),
            {"id": "notes", "kind": "map", "over": "${nodes.pupils.output}", "prompt": "On ${item.name}", "title": "Notes"},
        ),
    ),
    "braces in an expression": (
        plan(
            data(),
            {"id": "size", "kind": "compute", "expr": "size(${nodes.pupils.output})"},
            node(prompt="${nodes.size.output}"),
        ),
        plan(
            data(),
            {"id": "size", "kind": "compute", "expr": "size(nodes.pupils.output)"},
            node(prompt="${nodes.size.output}"),
        ),
    ),
}

REPAIRED = {
    "no JSON": ("I cannot plan this, sorry.", "there is no JSON object in the answer"),
    "an empty answer": ("", "there is no JSON object"),
    "cut off in a string": (GOOD[:-40], "the JSON ends before it is whole"),
    "cut off between nodes": (GOOD.split(',{"id":"text"')[0], "the JSON ends before it is whole"),
    "an unknown kind": (plan(data(), node(kind="llm")), "/nodes/1/kind: there is no kind 'llm' (there are: "),
    "a kind nearly right": (plan(data(), node(kind="composes")), "did you mean 'compose'?"),
    "a tool that is misspelt": (
        plan(data(tool="school.student"), READS),
        "there is no tool 'school.student' (did you mean 'school.students'?)",
    ),
    "a tool nobody has": (plan(data(tool="web_search"), READS), "/nodes/0/tool: there is no tool 'web_search'"),
    "an argument that is missing": (plan(data(args={}), READS), "/nodes/0/args: 'class_id' is a required property"),
    "an argument that is wrong": (plan(data(args={"class_id": "three"}), READS), "/nodes/0/args/class_id"),
    "too many nodes": (plan(*[node(id=f"n{at}") for at in range(30)]), "there are 30 nodes, at most 16 are taken"),
    "nodes in a circle": (
        plan(node(id="a", prompt="${nodes.b.output}"), node(id="b", prompt="${nodes.a.output}")),
        "wait for each other",
    ),
    "a node that is not there": (plan(node(prompt="${nodes.pupil_list.output}")), "there is no node 'pupil_list'"),
    "nothing but data": (plan(data()), "no node writes anything"),
    "a condition where none may be": (plan(data(when="true"), READS), "'when' was unexpected"),
    "words for nodes": (plan("fetch the pupils", "write"), "/nodes/0: a node is a JSON object"),
    "a list": ("[" + GOOD[:-40], "the JSON ends before it is whole"),
    "no nodes": ('{"name":"Class","steps":[]}', "there is no list of nodes"),
}


async def planned(*answers: str, otherwise: str = "no JSON") -> tuple[Plan, ScriptedModels]:
    models = ScriptedModels(answers, otherwise=otherwise, registry=REGISTRY)
    planner = Planner(LIBRARY, ModelDrafter(models, slots=1), limits=Limits())
    request = Request("acme", Intent.BUILD, "A report on class 3", tool_specs=KNOWN)
    made = await planner.plan(request, budget_s=30)
    known = {**tools.SCHEMAS, STUDENTS.name: STUDENTS.input_schema}
    assert validation.validate(made.blueprint, tools=known, kinds=RUNNABLE) == []
    return made, models


@pytest.mark.parametrize(("answer", "same"), MENDED.values(), ids=MENDED)
async def test_what_is_clear_is_mended_without_another_question(answer: str, same: str) -> None:
    made, models = await planned(answer)
    assert (made.origin, made.warnings, len(models.requests)) == (Origin.MODEL, (), 1)
    meant, _ = await planned(same)
    assert made.blueprint == meant.blueprint


@pytest.mark.parametrize(("answer", "says"), REPAIRED.values(), ids=REPAIRED)
async def test_what_is_not_clear_goes_back_with_what_is_wrong(answer: str, says: str) -> None:
    made, models = await planned(answer, GOOD)
    assert made.origin is Origin.REPAIRED
    assert made.warnings == ("the model's plan needed one repair",)
    assert len(models.requests) == 2
    assert says in models.requests[1].messages[-1].content


@pytest.mark.parametrize(("answer", "says"), REPAIRED.values(), ids=REPAIRED)
async def test_what_is_never_repaired_gives_the_template_and_says_why(answer: str, says: str) -> None:
    made, models = await planned(otherwise=answer)
    assert made.origin is Origin.TEMPLATE
    assert len(models.requests) <= 3
    assert says.partition(" (")[0][:40] in made.warnings[0]


def test_references_that_are_clear_to_nobody_stay_as_they_are() -> None:
    kept = "A price of $5, {{name}}, ${nodes.pupils.result}, $${nodes.text.output}, ${other.x}, {braces}"
    draft = parsing.draft({"name": "x", "nodes": [data(), node(prompt=kept)]})
    assert draft["nodes"][1]["prompt"] == kept


@pytest.mark.parametrize(
    "text", ["{" * 5_000, "[{" * 3_000 + "}]" * 3_000, '{"a": &a [1], "b": [*a, *a]}', "{[}]", '{"a": {1: 2}}']
)
def test_hostile_answers_are_read_as_nothing_or_as_plain_json(text: str) -> None:
    document, faults = parsing.document(text)
    assert document is None or orjson.dumps(document)
    assert bool(faults) == (document is None)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=12)
    | st.sampled_from(["${nodes.a}", "{{a}}", "compose", "map", "data", "a"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["id", "kind", "prompt", "title", "over", "node", "as", "args", "tool", "when", "then", "on_error", "x"]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(JSON | st.dictionaries(st.sampled_from(["nodes", "name"]), JSON), st.sampled_from(list(Language)))
def test_whatever_a_draft_is_it_is_read_and_has_faults_or_fits(value: Any, language: Language) -> None:
    meant = parsing.draft(value) if isinstance(value, dict) else value
    if not draft_schema.faults(meant, language, KNOWN):
        assert parsing.draft(meant) == meant


@given(st.text(max_size=60), st.text(max_size=60))
def test_words_around_a_plan_change_nothing(before: str, after: str) -> None:
    if not set('{}[]"') & set(before + after):
        assert parsing.document(before + GOOD + after) == (orjson.loads(GOOD), ())


@given(st.integers(1, len(GOOD) - 1))
def test_a_plan_that_is_cut_off_is_never_read_as_a_whole_one(at: int) -> None:
    assert parsing.document(GOOD[:at]) == (None, (parsing.CUT_OFF,))


@given(st.text(alphabet="ab{}.$ nodesoutput[0]", max_size=60))
def test_a_text_is_read_the_same_the_second_time(text: str) -> None:
    value = {"name": "x", "nodes": [node(id="a"), node(id="b", prompt=text)]}
    once = parsing.draft(value)
    assert parsing.draft(once) == once
    assert list(references.strings(once))
