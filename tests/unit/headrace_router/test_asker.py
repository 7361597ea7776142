import asyncio

import pytest
from headrace_llm import errors
from headrace_llm.client import Priority
from headrace_llm.usage import ModelUsage, Usage
from headrace_router import metrics, prompt
from headrace_router.asker import LEAST_S, RESERVE_S, Asked, Asker
from headrace_router.model import Intent, Question

from tests.support.models import Scripted, ScriptedModels

QUESTION = Question("the thing for tomorrow")
PAID = Usage({"small": ModelUsage(1, 0, 90, 8, 0.001)})


async def ask(models: ScriptedModels, *, budget_s: float | None = None, timeout_s: float = 5) -> Asked:
    return await Asker(models, timeout_s=timeout_s, slots=2).ask(QUESTION, tenant_id="acme", budget_s=budget_s)


def unanswered(reason: str) -> float:
    return metrics.UNANSWERED.labels(reason)._value.get()


async def test_the_cheap_model_is_asked_once_with_schema_and_bounds() -> None:
    models = ScriptedModels(['{"intent": "quiz"}'])
    asked = await ask(models, budget_s=3)
    assert asked.answer is not None
    assert asked.answer.intent is Intent.QUIZ
    assert asked.usage.models["small"].llm_calls == 1
    [request] = models.requests
    assert (request.model, request.tenant_id, request.priority) == ("small", "acme", Priority.INTERACTIVE)
    assert (request.schema, request.max_tokens) == (prompt.SCHEMA, prompt.MAX_ANSWER_TOKENS)
    assert request.deadline_s == pytest.approx(3 - RESERVE_S)


async def test_the_own_timeout_bounds_a_caller_with_much_time_or_no_deadline() -> None:
    models = ScriptedModels(otherwise='{"intent": "quiz"}')
    await ask(models, budget_s=60)
    await ask(models, budget_s=None)
    assert [request.deadline_s for request in models.requests] == [5, 5]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errors.Throttled("429", retry_after_s=7), "resource_exhausted"),
        (errors.GateRefused("full", retry_after_s=7), "resource_exhausted"),
        (errors.ProviderUnavailable("away"), "unavailable"),
        (errors.ProviderAuth("key"), "failed_precondition"),
        (errors.CallTimeout("slow"), "deadline_exceeded"),
    ],
)
async def test_no_failure_of_the_model_is_raised(error: Exception, reason: str) -> None:
    before = unanswered(reason)
    assert await ask(ScriptedModels([error])) == Asked(None, Usage())
    assert unanswered(reason) == before + 1


async def test_an_answer_against_the_schema_is_none_and_still_counted_as_cost() -> None:
    invalid = errors.InvalidAnswer("no", text="dance", faults=("/intent: no",), usage=PAID)
    assert await ask(ScriptedModels([invalid])) == Asked(None, PAID)
    asked = await ask(ScriptedModels(["dance"]))
    assert asked.answer is None
    assert asked.usage.total.llm_calls == 1


async def test_a_model_that_is_slower_than_the_time_left_is_given_up() -> None:
    before = unanswered("deadline_exceeded")
    models = ScriptedModels([Scripted(pieces=("{",), delay_s=30)])
    assert (await ask(models, timeout_s=LEAST_S)).answer is None
    assert unanswered("deadline_exceeded") == before + 1


async def test_with_hardly_any_time_left_no_model_is_asked() -> None:
    models = ScriptedModels()
    assert (await ask(models, budget_s=LEAST_S)).answer is None
    assert models.requests == []


async def test_no_more_questions_than_slots_wait_for_the_model() -> None:
    gate = asyncio.Event()
    models = ScriptedModels(otherwise=Scripted(pieces=('{"intent"', ': "qa"}'), gate=gate))
    asker = Asker(models, timeout_s=5, slots=2)
    waiting = [asyncio.create_task(asker.ask(QUESTION, tenant_id="acme", budget_s=None)) for _ in range(2)]
    while len(models.requests) < 2:
        await asyncio.sleep(0)
    before = unanswered("busy")
    assert (await asker.ask(QUESTION, tenant_id="acme", budget_s=None)).answer is None
    assert unanswered("busy") == before + 1
    gate.set()
    assert [asked.answer.intent for asked in await asyncio.gather(*waiting) if asked.answer] == [Intent.QA] * 2
    assert (await asker.ask(QUESTION, tenant_id="acme", budget_s=None)).answer is not None


async def test_an_unknown_role_model_is_no_error_either() -> None:
    models = ScriptedModels()
    models.registry = type(models.registry)(models={}, default="gone", roles={})
    assert (await ask(models)).answer is None
