import asyncio
from collections.abc import Callable

import pytest
from headrace_llm import metrics
from headrace_llm.cache import warm_up, warm_up_file
from headrace_llm.client import ChatRequest, Message, Priority
from headrace_llm.errors import InvalidWarmUp, ProviderUnavailable
from headrace_llm.registry import Registry

from tests.support.models import ScriptedModels
from tests.unit.headrace_llm.cache.fakes import REGISTRY, Stage, ask

GOOD = """
- tenant: t
  model: m
  messages:
    - {role: system, content: be kind}
    - {role: user, content: hello}
  max_tokens: 300
  schema: {type: object}
  options: {seed: 1}
- {tenant: u, messages: [{role: user, content: joke}], temperature: 0.7, cache: true}
"""


def parse(text: str, *, max_entries: int = 10, registry: Registry = REGISTRY) -> list[ChatRequest]:
    return list(warm_up_file.parse(text, registry, max_entries=max_entries, deadline_s=9, source="list.yaml"))


def test_a_list_becomes_requests_in_the_background() -> None:
    first, second = parse(GOOD)
    assert first.messages == (Message("system", "be kind"), Message("user", "hello"))
    assert (first.tenant_id, first.model, first.max_tokens, first.schema) == ("t", "m", 300, {"type": "object"})
    assert (first.options, first.priority, first.deadline_s) == ({"seed": 1}, Priority.BACKGROUND, 9)
    assert (second.temperature, second.cache) == (0.7, True)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", ["1: must be a list"]),
        ("a: 1", ["1: must be a list"]),
        ("- [", ["1: not YAML"]),
        ("- {}\n- {tenant: t}", ["1: 0.tenant: Field required", "1: 0.messages: Field", "2: 1.messages: Field required"]),
        ("- tenant: t\n  messages: []", ["2: 0.messages: Tuple should have at least 1"]),
        ("- tenant: t\n  model: x\n  messages: [{role: user, content: a}]", ["2: 0.model: no model 'x'"]),
        ("- tenant: t\n  tenant: u\n  messages: [{role: user, content: a}]", ["2: 0.tenant: given twice"]),
        ("- tenant: t\n  messages:\n  - {role: user, content: a}\n  - {role: it, content: b}", ["4: 0.messages.1.role: "]),
        ("- tenant: t\n  temperature: 0.7\n  messages: [{role: user, content: a}]", ["1: 0: would not be kept"]),
        ('- {tenant: t, messages: [{role: user, content: "\\ud83d"}]}', ["1: 0: has what JSON cannot say"]),
    ],
)
def test_every_fault_is_told_with_its_line(text: str, faults: list[str]) -> None:
    with pytest.raises(InvalidWarmUp) as caught:
        parse(text)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(faults)
    for fault in faults:
        assert any(line.startswith(f"list.yaml:{fault}") for line in lines), (fault, lines)


def test_a_list_is_bounded() -> None:
    with pytest.raises(InvalidWarmUp, match="has 2 requests; HEADRACE_LLM_WARM_UP_ENTRIES allows 1"):
        parse(GOOD, max_entries=1)
    with pytest.raises(InvalidWarmUp, match="larger than"):
        parse("x" * (warm_up_file.MAX_BYTES + 1))


def claims(*answers: bool) -> Callable[[str], "asyncio.Future[bool]"]:
    left = list(answers)

    def claim(token: str) -> "asyncio.Future[bool]":
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        future.set_result(left.pop(0))
        return future

    return claim


async def test_requests_are_asked_in_turn_and_a_failure_is_left_out() -> None:
    models = ScriptedModels(["one", ProviderUnavailable("away"), "three"])
    before = metrics.CACHE_WARMED.labels("failed")._value.get()
    await warm_up.run(models, [ask("1"), ask("2"), ask("3")], claims(True, True, True), limit_s=10)
    assert [request.messages[0].content for request in models.requests] == ["1", "2", "3"]
    assert metrics.CACHE_WARMED.labels("failed")._value.get() == before + 1


async def test_only_who_holds_the_claim_asks() -> None:
    models = ScriptedModels()
    await warm_up.run(models, [ask("1"), ask("2")], claims(True, False), limit_s=10)
    assert len(models.requests) == 1


async def test_it_ends_when_its_time_is_over() -> None:
    stage = Stage()
    await warm_up.run(stage, [ask("1"), ask("2")], claims(True, True), limit_s=0.01)
    assert len(stage.calls) == 1
    assert not stage.open
