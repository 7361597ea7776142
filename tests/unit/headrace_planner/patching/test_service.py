"""A sentence becomes a change: by rules, by a model, or by the names in it."""

import asyncio
from typing import Any

import orjson
import pytest
from headrace_llm import errors as llm_errors
from headrace_llm.registry import ModelEntry, Registry
from headrace_planner import library
from headrace_planner.adapters.model_drafter import ModelDrafter
from headrace_planner.errors import PatchUnclear
from headrace_planner.model import Origin
from headrace_planner.patching import questions
from headrace_planner.patching.model import Page, Patch, PatchRequest
from headrace_planner.patching.service import Patcher

from tests.support.models import Scripted, ScriptedModels
from tests.unit.headrace_planner.patching.pages import REPORT, compose, page

LIBRARY = library.load()
NOTHING: dict[str, Any] = {"rewrite": [], "remove": [], "add": [], "inputs": {}}
PREVIEWS = {"summary": "S" * 1_000, "advice": "Be\nkind."}


def models(*answers: Any, context_tokens: int = 32_768) -> ScriptedModels:
    entry = ModelEntry(id="big", model="scripted/big", context_tokens=context_tokens)
    small = ModelEntry(id="small", model="scripted/small", context_tokens=4_096)
    given = [orjson.dumps(one).decode() if isinstance(one, dict) else one for one in answers]
    return ScriptedModels(given, registry=Registry.of([entry, small], roles={"planner": "big"}))


async def patch(
    instruction: str, scripted: ScriptedModels, *, of: Page = REPORT, model: str = "", budget_s: float | None = 20
) -> Patch:
    patcher = Patcher(LIBRARY, ModelDrafter(scripted, slots=2), timeout_s=45)
    return await patcher.patch(PatchRequest("acme", of, instruction, PREVIEWS, model=model), budget_s=budget_s)


async def test_a_plain_sentence_asks_no_model() -> None:
    scripted = models()
    made = await patch("make the summary shorter", scripted)
    assert (made.origin, made.patched.nodes, made.warnings) == (Origin.BUILTIN, ("summary",), ())
    assert scripted.requests == []


async def test_a_model_maps_any_other_sentence() -> None:
    answer = {**NOTHING, "rewrite": ["outlook"], "inputs": {"term": "b"}}
    scripted = models(answer)
    made = await patch("it is all about autumn, and the end is too gloomy", scripted)
    assert (made.origin, made.warnings) == (Origin.MODEL, ())
    assert made.patched.rewritten == ("outlook",)
    assert made.patched.inputs["term"] == "b"
    assert made.usage.total.llm_calls == 1
    (asked,) = scripted.requests
    assert (asked.model, asked.purpose, asked.tenant_id) == ("big", "patch", "acme")
    system, user = asked.messages
    assert "${nodes.grades.output}" in system.content
    assert f"- summary: Summary: {'S' * 400}\n- advice: Advice: Be kind.\n- comments: Comments\n" in user.content
    assert '- class_id = 1\n- term = "a"\n' in user.content
    assert user.content.endswith("Change: it is all about autumn, and the end is too gloomy")


async def test_a_new_title_runs_nothing_and_asks_nobody() -> None:
    scripted = models()
    made = await patch("rename the summary to Overview", scripted)
    assert (made.origin, made.patched.nodes, made.patched.rewritten) == (Origin.BUILTIN, (), ())
    changed = {slot["slot"]: slot for slot in made.patched.document["layout"]}
    assert changed["summary"] == {"slot": "summary", "title": "Overview", "node": "summary"}
    titles = [{**slot, "title": slot["slot"]} for slot in made.patched.document["layout"]]
    assert titles == [{**slot, "title": slot["slot"]} for slot in REPORT.document["layout"]]
    assert made.patched.document["nodes"] == REPORT.document["nodes"]
    assert scripted.requests == []


async def test_a_model_may_rename_beside_other_changes() -> None:
    answer = {**NOTHING, "rewrite": ["outlook"], "rename": [{"slot": "summary", "title": "In short"}]}
    made = await patch("call the first one In short, and the end is too gloomy", models(answer))
    assert (made.origin, made.patched.nodes) == (Origin.MODEL, ("outlook",))
    assert [slot["title"] for slot in made.patched.document["layout"]][:2] == ["In short", "Advice"]


async def test_a_title_that_cannot_be_given_is_repaired() -> None:
    twice = {**NOTHING, "remove": ["summary"], "rename": [{"slot": "summary", "title": "Gone"}]}
    same = {**NOTHING, "rename": [{"slot": "summary", "title": "Summary"}]}
    for wrong in (twice, same):
        scripted = models(wrong, {**NOTHING, "rename": [{"slot": "summary", "title": "In short"}]})
        made = await patch("call the first one In short", scripted)
        assert made.origin is Origin.REPAIRED
        assert "/rename" in scripted.requests[1].messages[-1].content


async def test_a_change_that_cannot_be_made_is_repaired_once() -> None:
    scripted = models({**NOTHING, "inputs": {"class_id": 0}}, {**NOTHING, "inputs": {"class_id": 4}})
    made = await patch("for the fourth class", scripted)
    assert made.origin is Origin.REPAIRED
    assert made.warnings == ("the model's change was repaired",)
    assert made.patched.inputs["class_id"] == 4
    assert made.usage.total.llm_calls == 2
    assert "/inputs/class_id" in scripted.requests[1].messages[-1].content


@pytest.mark.parametrize(
    "answers",
    [
        ["no JSON", "nor this"],
        [NOTHING, {**NOTHING, "rewrite": ["nowhere"]}],
        [NOTHING, NOTHING],
        [llm_errors.ProviderUnavailable("away")],
        [NOTHING, llm_errors.GateRefused("full", retry_after_s=3)],
    ],
)
async def test_without_a_usable_answer_the_names_decide(answers: list[Any]) -> None:
    made = await patch("the summary and the outlook are boring", models(*answers))
    assert made.origin is Origin.TEMPLATE
    assert made.patched.rewritten == ("summary", "outlook")
    assert "the slots that the sentence names" in made.warnings[0]


async def test_with_no_name_and_no_model_it_is_unclear_and_the_slots_are_told() -> None:
    with pytest.raises(PatchUnclear, match=r"one of: Summary, Advice, Comments") as caught:
        await patch("it is boring", models(NOTHING, llm_errors.ProviderUnavailable("away")))
    assert caught.value.usage.total.llm_calls == 1, "what the first answer cost is told"


async def test_a_model_of_little_context_is_only_asked_when_nothing_is_named_and_may_take_nothing_away() -> None:
    scripted = models({**NOTHING, "rewrite": ["outlook"]}, context_tokens=4_096)
    named = await patch("the summary is boring", scripted)
    assert (named.origin, named.patched.rewritten, scripted.requests) == (Origin.TEMPLATE, ("summary",), [])
    scripted = models({**NOTHING, "add": [{"title": "Population", "prompt": "Write about it."}]}, context_tokens=4_096)
    unnamed = await patch("add the population", scripted)
    assert (unnamed.origin, unnamed.patched.nodes) == (Origin.MODEL, ("added",))
    assert scripted.requests[0].schema is not None
    assert scripted.requests[0].schema["properties"]["remove"]["maxItems"] == 0


async def test_a_change_of_a_small_model_that_has_no_word_of_the_sentence_is_not_made() -> None:
    wrong = {**NOTHING, "rewrite": ["outlook"]}
    with pytest.raises(PatchUnclear, match=r"nothing to do with the sentence\); name one of: Summary, Advice") as caught:
        await patch("make it friendlier", models(wrong, context_tokens=4_096))
    assert caught.value.usage.total.llm_calls == 1
    assert (await patch("make it friendlier", models(wrong))).origin is Origin.MODEL, "a large model is believed"
    single = page([compose("outlook", "Look out.")], {"outlook": "outlook"})
    assert (await patch("make it friendlier", models(wrong, context_tokens=4_096), of=single)).origin is Origin.MODEL


async def test_another_model_may_map_and_an_unknown_one_is_an_error() -> None:
    scripted = models({**NOTHING, "rewrite": ["outlook"]})
    with pytest.raises(PatchUnclear):
        await patch("the end is boring", scripted, model="small")
    assert scripted.requests[0].model == "small"
    with pytest.raises(llm_errors.UnknownModel):
        await patch("the end is boring", models(), model="nope")


async def test_the_model_may_not_take_longer_than_the_caller_waits() -> None:
    started = asyncio.get_running_loop().time()
    made = await patch("the summary is boring", models(Scripted(("{}",), delay_s=60)), budget_s=2.2)
    assert made.origin is Origin.TEMPLATE
    assert asyncio.get_running_loop().time() - started < 2.2
    scripted = models()
    assert (await patch("the summary is boring", scripted, budget_s=1.5)).origin is Origin.TEMPLATE
    assert scripted.requests == []


@pytest.mark.parametrize("context_tokens", [2_048, 8_192, 32_768])
def test_the_question_fits_what_the_model_reads(context_tokens: int) -> None:
    of = page([compose(f"s{at}", "Write") for at in range(30)], {f"s{at}": f"s{at}" for at in range(30)})
    request = PatchRequest("acme", of, "x" * 30_000, {f"s{at}": "y" * 400 for at in range(30)})
    brief = questions.brief(LIBRARY.patch_prompt, of, may_remove=True)
    asked = questions.first(brief, request, context_tokens=context_tokens)
    length = sum(len(message.content) for message in asked)
    assert length <= max((context_tokens - questions.MAX_TOKENS) * 2 + 200, len(brief.instructions) + 2_800)
