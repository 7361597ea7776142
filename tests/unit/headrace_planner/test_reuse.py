"""A plan that a model made is found again for the same request and for no other."""

from dataclasses import replace
from typing import Any

import pytest
from headrace_blueprint.tools import Tool
from headrace_llm.registry import ModelEntry, Registry
from headrace_planner import reuse, toolbox
from headrace_planner.adapters.model_drafter import ModelDrafter
from headrace_planner.model import Entity, Intent, Origin, Plan, Request, Turn
from headrace_planner.reuse import Kept, Reuse, Room

from tests.support.models import ScriptedModels
from tests.support.plans import KeptPlans

GRADES = Tool("school.grades", "Marks.", {"type": "object", "properties": {"class_id": {"type": "integer"}}})
REQUEST = Request(
    "acme",
    Intent.BUILD,
    "A report on 3B",
    workspace="w",
    model="m",
    tool_specs=(GRADES,),
    sources=("Book",),
    history=(Turn("user", "hello"),),
    entities=(Entity("class", "integer", "3B"),),
)
TWO = (Turn("user", "a"), Turn("assistant", "b"))
PLAN = Plan({"name": "x"}, Origin.REPAIRED, ("repaired",))


def key(request: Request = REQUEST, **fields: Any) -> str:
    tools = toolbox.allowed(request)[0]
    return reuse.key(request, tools, **({"planner": "big", "prompts": "digest"} | fields))


class Forgetful:
    """Redis, away."""

    async def get(self, key: str) -> bytes | None:
        return None

    async def put(self, key: str, data: bytes) -> None:
        return None


@pytest.mark.parametrize(
    "changed",
    [
        {"tenant_id": "other"},
        {"intent": Intent.PATCH},
        {"message": "A report on 3C"},
        {"workspace": ""},
        {"model": ""},
        {"sources": ()},
        {"history": (Turn("user", "good bye"),)},
        {"entities": ()},
        {"entities": (Entity("pupil", "integer", "3B"),)},
        {"tool_specs": ()},
        {"tool_specs": (replace(GRADES, input_schema={"type": "object"}),)},
        {"tools": ("time",)},
        {"tool_specs": (replace(GRADES, description="Marks of a term."),)},
        {"tool_specs": (GRADES, replace(GRADES, name="crm.clients"))},
        {"message": "a report on 3b"},
        {"message": "一份 3B 的报告"},
        {"sources": ("Book", "Atlas")},
        {"model": "other"},
        {"workspace": "v"},
        {"history": (Turn("assistant", "hello"),)},
        {"entities": (Entity("class", "string", "3B"),)},
        {"entities": (Entity("class", "integer", "3"),)},
        {"entities": (Entity("class", "integer", "3B"), Entity("class", "integer", "3C", 1))},
    ],
)
def test_whatever_a_plan_depends_on_is_in_the_key(changed: dict[str, Any]) -> None:
    assert key(replace(REQUEST, **changed)) != key()


def test_the_planners_model_and_its_prompts_are_in_the_key() -> None:
    assert len({key(), key(planner="small"), key(prompts="others")}) == 3


REORDERED = {"type": "object", "properties": {"class_id": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"tool_specs": (GRADES, replace(GRADES, name="a.b"))}, {"tool_specs": (replace(GRADES, name="a.b"), GRADES)}),
        ({"tools": ("time", "calculator")}, {"tools": ("calculator", "time", "time")}),
        ({"sources": ("Book", "Atlas")}, {"sources": ("Atlas", "Book")}),
        ({"history": (Turn("user", "x"), *TWO)}, {"history": (Turn("assistant", "y"), *TWO)}),
        ({"history": (Turn("user", "as  before"),)}, {"history": (Turn("user", "as before\n"),)}),
        ({"entities": (Entity("class", "integer", " 3B"),)}, {"entities": (Entity("class", "integer", "３B"),)}),
        ({"tool_specs": (GRADES,)}, {"tool_specs": (replace(GRADES, input_schema=dict(reversed(REORDERED.items()))),)}),
    ],
)
def test_what_a_plan_does_not_depend_on_makes_no_other_request(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert key(replace(REQUEST, **one)) == key(replace(REQUEST, **other))


@pytest.mark.parametrize(
    "changed", [{"id": "b"}, {"model": "x/other"}, {"context_tokens": 4_096}, {"api_base": "http://example.com/v1"}]
)
def test_another_model_under_the_planners_name_is_another_planner(changed: dict[str, Any]) -> None:
    entry = ModelEntry(id="a", model="x/model", context_tokens=32_768)
    identities = {
        ModelDrafter(ScriptedModels(registry=Registry.of([one])), slots=1).identity
        for one in (entry, entry.model_copy(update=changed))
    }
    assert len(identities) == 2


def test_width_and_spaces_make_no_other_request() -> None:
    assert key(replace(REQUEST, message="  A  report\non ３B ")) == key()


async def test_a_kept_plan_is_found_here_and_by_another_replica() -> None:
    shared = KeptPlans()
    here = Reuse(shared, Room())
    assert await here.find("k") is None
    await here.keep("k", PLAN)
    assert await here.find("k") == Kept({"name": "x"}, ("repaired",))
    assert await Reuse(shared, Room()).find("k") == Kept({"name": "x"}, ("repaired",))


@pytest.mark.parametrize("origin", [Origin.TEMPLATE, Origin.BUILTIN, Origin.REUSED])
async def test_only_what_a_model_made_is_kept(origin: Origin) -> None:
    shared = KeptPlans()
    await Reuse(shared, Room()).keep("k", replace(PLAN, origin=origin))
    assert shared.kept == {}


async def test_a_plan_that_is_too_large_is_not_kept() -> None:
    shared = KeptPlans()
    await Reuse(shared, Room(plan_bytes=100)).keep("k", replace(PLAN, blueprint={"name": "x" * 100}))
    assert shared.kept == {}


async def test_memory_is_bounded_and_forgets() -> None:
    now = 0.0
    here = Reuse(Forgetful(), Room(entries=2, ttl_s=10), clock=lambda: now)
    for name in ("a", "b", "c"):
        await here.keep(name, PLAN)
    assert [await here.find(name) is not None for name in ("a", "b", "c")] == [False, True, True]
    now = 11.0
    assert await here.find("c") is None


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"blueprint": {}, "warnings": 3}'])
async def test_what_cannot_be_read_is_not_there(data: bytes) -> None:
    shared = KeptPlans()
    shared.kept["k"] = data
    assert await Reuse(shared, Room()).find("k") is None
