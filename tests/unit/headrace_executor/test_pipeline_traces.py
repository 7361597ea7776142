"""A run's spans: one per step, children of the run's, in the trace of the request that started it."""

import pytest
from headrace_executor.engine import pipeline, steps
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.support.executor_fakes import (
    FakeCel,
    FakeJournal,
    FakeModels,
    FakePlanner,
    FakeRag,
    FakeRouter,
    FakeSessions,
    claimed,
)

TRACE = "0af7651916cd43dd8448eb211c80319c"
BLUEPRINT = {
    "version": 1,
    "name": "x",
    "nodes": [{"id": "a", "kind": "compute", "expr": "1"}, {"id": "b", "kind": "compute", "expr": "nodes.a.output"}],
    "output": "${nodes.b.output}",
}


async def test_each_step_is_a_span_of_the_requests_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for module in (pipeline, steps):
        monkeypatch.setattr(module, "tracer", provider.get_tracer("test"))
    runs = pipeline.RunPipeline(
        router=FakeRouter("build"),
        planner=FakePlanner(BLUEPRINT),
        rag=FakeRag(),
        models=FakeModels(),
        sessions=FakeSessions(),
        cel=FakeCel(),
    )
    await runs.run(FakeJournal(claimed({"message": "x"}, traceparent=f"00-{TRACE}-b7ad6b7169203331-01")))
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert list(spans) == ["route", "plan", "node:a", "node:b", "run conversation"]
    assert {format(span.context.trace_id, "032x") for span in spans.values()} == {TRACE}
    root = spans.pop("run conversation")
    assert {span.parent.span_id for span in spans.values() if span.parent} == {root.context.span_id}
    provider.shutdown()
