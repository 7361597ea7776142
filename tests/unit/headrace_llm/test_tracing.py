"""A model call is one span with what it used, however it ends."""

from collections.abc import Iterator

import pytest
from headrace_llm import tracing
from headrace_llm.client import Completion
from headrace_llm.errors import InvalidAnswer, ProviderAuth
from headrace_llm.job import Rules
from headrace_llm.service import Models
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tests.unit.headrace_llm.chain import World
from tests.unit.headrace_llm.fakes import REGISTRY, FakeGate, FakeProvider, Step, answer, ask

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    made = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(made))
    monkeypatch.setattr(tracing, "tracer", provider.get_tracer("test"))
    yield made
    provider.shutdown()


def models(*script: Step) -> Models:
    provider = FakeProvider()
    provider.scripts.append(list(script))
    return Models(REGISTRY, FakeGate(), provider, Rules(), jitter=lambda: 0.0)


def only(exporter: InMemorySpanExporter) -> ReadableSpan:
    (span,) = exporter.get_finished_spans()
    return span


async def test_a_whole_answer_is_a_span_with_its_tokens(exporter: InMemorySpanExporter) -> None:
    await models(answer("hi", prompt=100, completion=50)).complete(ask())

    span = only(exporter)
    provider, _, model = REGISTRY.models["m"].model.partition("/")
    assert (span.name, span.kind, span.status.status_code) == (f"chat {model}", SpanKind.CLIENT, StatusCode.UNSET)
    assert span.attributes is not None
    said = {key: value for key, value in span.attributes.items() if key != "gen_ai.request.max_tokens"}
    assert said == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 50,
        "gen_ai.response.finish_reasons": ("stop",),
        "headrace.model": "m",
    }
    assert [event.name for event in span.events] == ["headrace.gate.granted"]


async def test_a_stream_is_a_span_until_its_end(exporter: InMemorySpanExporter) -> None:
    stream = models("a", "b", answer("ab", prompt=10, completion=5)).stream(ask())
    assert await anext(stream) == "a"
    assert not exporter.get_finished_spans()
    assert await anext(stream) == "b"
    assert isinstance(await anext(stream), Completion)
    await stream.aclose()  # type: ignore[attr-defined]

    attributes = only(exporter).attributes or {}
    assert attributes["gen_ai.usage.output_tokens"] == 5
    assert "error.type" not in attributes


async def test_a_stream_that_its_reader_leaves_is_cancelled(exporter: InMemorySpanExporter) -> None:
    stream = models("a", "b", answer("ab")).stream(ask())
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]

    assert (only(exporter).attributes or {})["error.type"] == "cancelled"


async def test_an_answer_that_does_not_fit_was_paid_for(exporter: InMemorySpanExporter) -> None:
    with pytest.raises(InvalidAnswer):
        await models(answer("no", prompt=10, completion=5)).complete(ask(schema=SCHEMA))

    attributes = only(exporter).attributes or {}
    assert (attributes["error.type"], attributes["gen_ai.usage.output_tokens"]) == ("invalid_answer", 5)


async def test_a_failure_is_told_by_its_reason_only(exporter: InMemorySpanExporter) -> None:
    with pytest.raises(ProviderAuth):
        await models(ProviderAuth("the key sk-123 is unknown")).complete(ask())

    span = only(exporter)
    assert (span.attributes or {})["error.type"] == "provider_auth"
    assert span.status.status_code is StatusCode.ERROR
    assert "sk-123" not in span.to_json()


async def test_a_fallback_is_told_on_the_span_of_its_request(exporter: InMemorySpanExporter) -> None:
    world = World([ProviderAuth("the key sk-123 is unknown")], [answer()])
    await world.models.complete(ask(model="a"))

    span = only(exporter)
    assert [event.name for event in span.events] == ["headrace.gate.granted", "headrace.gate.granted", "headrace.fallback"]
    assert dict(span.events[-1].attributes or {}) == {
        "headrace.from": "a",
        "headrace.to": "b",
        "headrace.reason": "auth",
    }
    assert "sk-123" not in span.to_json()
