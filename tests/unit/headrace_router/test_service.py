import subprocess
import sys

from headrace_llm import errors
from headrace_router import metrics
from headrace_router.asker import Asker
from headrace_router.model import DecidedBy, Intent, Question
from headrace_router.neighbourhood import Neighbourhood
from headrace_router.service import Router

from tests.support.models import ScriptedModels
from tests.unit.headrace_router.support import EXAMPLES, FakeEmbedder


async def make(models: ScriptedModels, embedder: FakeEmbedder) -> Router:
    nearby = Neighbourhood(EXAMPLES, timeout_s=5, slots=4)
    await nearby.learn(embedder)
    return Router(nearby, Asker(models, timeout_s=5, slots=4))


async def test_what_rules_decide_needs_neither_vector_nor_model() -> None:
    models, embedder = ScriptedModels(), FakeEmbedder()
    router = await make(models, embedder)
    routed = await router.route(Question("/quiz rivers"), tenant_id="acme", budget_s=1)
    assert (routed.decision.intent, routed.decision.decided_by) == (Intent.QUIZ, DecidedBy.RULES)
    assert len(embedder.requests) == 1
    assert models.requests == []


async def test_what_neighbours_decide_needs_no_model_and_costs_nothing() -> None:
    models = ScriptedModels()
    router = await make(models, FakeEmbedder())
    routed = await router.route(Question("make a quiz"), tenant_id="acme", budget_s=1)
    assert (routed.decision.intent, routed.decision.decided_by) == (Intent.QUIZ, DecidedBy.EMBEDDING)
    assert routed.usage.total.llm_calls == 0
    assert models.requests == []


async def test_the_rest_is_decided_by_the_model_and_its_cost_is_told() -> None:
    router = await make(ScriptedModels(['{"intent": "build"}']), FakeEmbedder())
    routed = await router.route(Question("zzz yyy xxx"), tenant_id="acme", budget_s=1)
    assert (routed.decision.intent, routed.decision.decided_by) == (Intent.BUILD, DecidedBy.MODEL)
    assert routed.usage.total.llm_calls == 1


async def test_without_a_model_the_best_neighbour_answers() -> None:
    router = await make(ScriptedModels([errors.Throttled("429", retry_after_s=9)]), FakeEmbedder())
    routed = await router.route(Question("zzz yyy xxx"), tenant_id="acme", budget_s=1)
    assert routed.decision.decided_by is DecidedBy.EMBEDDING
    assert routed.decision.confidence < 0.5


async def test_every_decision_is_counted_once() -> None:
    router = await make(ScriptedModels(), FakeEmbedder())
    counted = metrics.DECISIONS.labels("rules", "patch")
    before = counted._value.get()
    await router.route(Question("/patch it"), tenant_id="acme", budget_s=None)
    assert counted._value.get() == before + 1


def test_importing_the_service_imports_no_provider() -> None:
    code = "import sys, headrace_router.app; print([m for m in ('litellm', 'openai', 'tokenizers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
