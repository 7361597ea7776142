"""Traces as a process sends them: none without an endpoint, all of them at its end, and never what an error said."""

import subprocess
import sys
import textwrap

from headrace_runtime import telemetry
from opentelemetry import trace

from tests.support import otlp

PROCESS_S = 60
START_S = 6
"""Longest that an interpreter with our runtime takes to start."""


def python(code: str, *arguments: str, timeout_s: float = PROCESS_S) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        capture_output=True, text=True, timeout=timeout_s, check=False,
    )  # fmt: skip


def test_without_an_endpoint_nothing_that_exports_is_imported() -> None:
    # Last the executor and the planner: their Redis client imports the SDK's metrics, which are none of ours.
    code = """
        import sys
        from headrace_runtime import telemetry
        def loaded(*parts):
            return sorted(name for name in sys.modules if name.startswith(parts))
        import headrace_edge.server, headrace_rag.app, headrace_router.app
        telemetry.configure("test", "")
        telemetry.flush()
        assert not telemetry.enabled()
        assert not telemetry.client_interceptors()
        assert not telemetry.server_interceptors()
        print(*loaded("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.instrumentation"))
        import headrace_executor.app, headrace_planner.app
        print(*loaded("opentelemetry.sdk.trace", "opentelemetry.exporter", "opentelemetry.instrumentation"))
    """
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_without_an_endpoint_a_callers_trace_goes_through_the_spans_inside() -> None:
    tracer = trace.get_tracer("test")
    theirs = trace.SpanContext(trace_id=7, span_id=9, is_remote=True)
    remote = trace.set_span_in_context(trace.NonRecordingSpan(theirs))
    with telemetry.span(tracer, "request", parent=remote), telemetry.span(tracer, "step") as step:
        assert trace.get_current_span() is step
        assert step.get_span_context() == theirs
    with telemetry.span(tracer, "step") as step:
        assert not step.get_span_context().is_valid


SPANS = """
    import sys
    from opentelemetry import trace
    from headrace_runtime import serve, telemetry
    telemetry.configure("test", sys.argv[1])
    tracer = trace.get_tracer("test")
    try:
        with telemetry.span(tracer, "ours"):
            raise LookupError("what a user wrote")
    except LookupError:
        pass
    try:
        with tracer.start_as_current_span("theirs") as span:
            span.add_event("kept")
            raise LookupError("what a user wrote")
    except LookupError:
        pass
    serve.leave(3)
"""


def test_the_last_spans_leave_before_the_process_does_and_tell_an_errors_type_only() -> None:
    with otlp.collector() as collector:
        done = python(SPANS, collector.endpoint)
        spans = {span.name: span for span in collector.until(lambda spans: len(spans) == 2, timeout_s=0)}

    assert done.returncode == 3, done.stderr
    assert spans.keys() == {"ours", "theirs"}
    assert {span.service for span in spans.values()} == {"headrace-test"}
    assert spans["ours"].attributes == {"error.type": "LookupError"}
    assert "kept" in spans["theirs"].text
    for span in spans.values():
        assert "STATUS_CODE_ERROR" in span.text
        assert "what a user wrote" not in span.text


def test_a_collector_that_is_away_keeps_no_process_from_ending() -> None:
    done = python(SPANS, "http://127.0.0.1:1", timeout_s=START_S + telemetry.FLUSH_S)

    assert done.returncode == 3, done.stderr
