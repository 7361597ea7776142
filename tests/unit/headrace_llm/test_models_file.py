from contextlib import suppress

import pytest
from headrace_llm import models_file
from headrace_llm.errors import InvalidRegistry, UnknownModel
from headrace_llm.registry import DailyBudget, ModelEntry, Registry, TenantEntry
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

WHOLE = """
default: qwen
roles: {cheap: turbo}
models:
  qwen:
    model: dashscope/qwen-max
    api_key_env: DASHSCOPE_API_KEY
    context_tokens: 32768
    price: {prompt_usd_per_million: 1.6, completion_usd_per_million: 6.4}
    limits: {rpm: 60, tpm: 100000, account: main}
    fallbacks: [turbo]
    fallback_wait_s: 3
    timeout_s: 30
  turbo:
    model: dashscope/qwen-turbo
    limits: {rpm: 60, tpm: 100000, account: main}
  local:
    model: openai/smollm2
    api_base: http://127.0.0.1:8081/v1
"""


def test_a_whole_file_is_read() -> None:
    registry = models_file.parse(WHOLE)
    assert registry.resolve().id == "qwen"
    assert registry.resolve(role="cheap").id == "turbo"
    assert registry.resolve(role="planner").id == "qwen"
    qwen = registry.resolve("qwen")
    assert qwen.provider == "dashscope"
    assert qwen.scope == registry.resolve("turbo").scope != registry.resolve("local").scope
    assert (qwen.fallbacks, qwen.fallback_wait_s) == (("turbo",), 3)
    assert qwen.price is not None
    assert qwen.price.cost_usd(prompt_tokens=1_000_000, completion_tokens=500_000) == pytest.approx(4.8)


def test_an_unknown_name_says_what_is_near() -> None:
    registry = models_file.parse(WHOLE)
    with pytest.raises(UnknownModel, match="did you mean turbo"):
        registry.resolve("trubo")
    with pytest.raises(UnknownModel, match="there are local, qwen, turbo"):
        registry.resolve("zzz")


def test_every_fault_is_named_with_its_line() -> None:
    text = """\
default: missing
roles: {boss: a}
models:
  a:
    model: no-slash
    limits: {rpm: -1}
  b:
    model: openai/x
    colour: red
    fallbacks: [nobody, b]
  b: {}
  c: 7
extra: 1
"""
    with pytest.raises(InvalidRegistry) as caught:
        models_file.parse(text, source="m.yaml")
    found = {(fault.line, fault.path) for fault in caught.value.faults}
    assert found >= {
        (1, "default"),
        (2, "roles.boss"),
        (5, "models.a.model"),
        (6, "models.a.limits.rpm"),
        (11, "models.b"),
        (12, "models.c"),
        (13, "extra"),
    }
    assert "m.yaml:1: default: no model 'missing' in models" in str(caught.value)
    assert len(str(caught.value).splitlines()) == len(caught.value.faults)


def test_a_fallback_to_nobody_or_to_itself_is_refused() -> None:
    with pytest.raises(InvalidRegistry) as caught:
        models_file.parse("models:\n  b:\n    model: openai/x\n    fallbacks: [nobody, b]\n")
    assert [fault.path for fault in caught.value.faults] == ["models.b.fallbacks.0", "models.b.fallbacks.1"]


def test_models_of_one_account_must_agree_on_its_limit() -> None:
    text = WHOLE.replace(
        "model: dashscope/qwen-turbo\n    limits: {rpm: 60", "model: dashscope/qwen-turbo\n    limits: {rpm: 61"
    )
    with pytest.raises(InvalidRegistry, match=r"models\.turbo\.limits: shares its limit with qwen"):
        models_file.parse(text)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "7", "models: []", "models: {}", "models: [a", "a: &a [*a]", "\x00", "models: {a: {id: a, model: x/y}}"],
)
def test_what_is_no_models_file_is_refused(text: str) -> None:
    with pytest.raises(InvalidRegistry):
        models_file.parse(text)


def test_a_deeply_nested_file_is_refused() -> None:
    with pytest.raises(InvalidRegistry):
        models_file.parse("[" * 20_000)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(InvalidRegistry):
        assert models_file.parse(text).models


def test_a_dumped_registry_reads_back_the_same() -> None:
    registry = models_file.parse(WHOLE)
    assert models_file.parse(models_file.dump(registry)) == registry


def test_bare_names_make_a_registry() -> None:
    registry = Registry.of_names(["dashscope/qwen-max", "ollama/llama3:8b"])
    assert registry.resolve().model == "dashscope/qwen-max"
    assert models_file.parse(models_file.dump(registry)) == registry
    with pytest.raises(ValidationError):
        Registry.of_names(["qwen-max"])


def test_a_model_without_an_account_is_its_own_limit() -> None:
    one, two = (ModelEntry(id=name, model=f"openai/{name}") for name in "ab")
    assert one.scope != two.scope


def test_tenants_have_a_weight_and_a_daily_budget_and_a_star_stands_for_the_others() -> None:
    text = "models: {a: {model: openai/a}}\ntenants:\n  school: {weight: 2, daily: {usd: 5, calls: 10}}\n"
    registry = models_file.parse(text + '  "*": {daily: {tokens: 7}}\n')
    assert registry.tenant("school").weight == 2
    assert registry.tenant("school").daily == DailyBudget(usd=5, calls=10)
    assert registry.tenant("other").daily == DailyBudget(tokens=7)
    assert models_file.parse(models_file.dump(registry)) == registry
    assert models_file.parse(text).tenant("other") == TenantEntry()


def test_a_setting_that_there_is_not_is_called_so() -> None:
    with pytest.raises(InvalidRegistry) as caught:
        models_file.parse("models:\n  a: {model: x/y}\ntenants:\n  t: {daily: {euro: 3}}\n")
    assert [(fault.line, fault.path, fault.message) for fault in caught.value.faults] == [
        (4, "tenants.t.daily.euro", "there is no such setting")
    ]


@pytest.mark.parametrize(
    ("tenant", "path"),
    [
        ("{daily: {usd: -1}}", "tenants.t.daily.usd"),
        ("{daily: {tokens: 1.5}}", "tenants.t.daily.tokens"),
        ("{daily: {euros: 1}}", "tenants.t.daily.euros"),
        ("{weight: 0}", "tenants.t.weight"),
    ],
)
def test_a_wrong_budget_is_named_with_its_line(tenant: str, path: str) -> None:
    with pytest.raises(InvalidRegistry) as caught:
        models_file.parse(f"models: {{a: {{model: openai/a}}}}\ntenants:\n  t: {tenant}\n")
    assert [(fault.line, fault.path) for fault in caught.value.faults] == [(3, path)]
