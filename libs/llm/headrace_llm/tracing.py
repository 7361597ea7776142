"""A model call as a span, named as OpenTelemetry's conventions for generative AI say. No text of it is told."""

from contextlib import AbstractContextManager

from headrace_runtime import telemetry
from opentelemetry import trace

from headrace_llm.job import Job
from headrace_llm.ports import Answer
from headrace_llm.usage import ModelUsage

tracer = trace.get_tracer("headrace_llm")


def start(job: Job) -> trace.Span:
    """Begin the span of a call, below the current one; `end` ends it."""
    provider, _, model = job.entry.model.partition("/")
    return tracer.start_span(
        f"chat {model}",
        kind=trace.SpanKind.CLIENT,
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
            "gen_ai.request.max_tokens": job.call.max_tokens,
            "headrace.model": job.entry.id,
        },
    )


def within(span: trace.Span) -> AbstractContextManager[trace.Span]:
    """Make it the current span of a block, which must not yield."""
    return trace.use_span(span, record_exception=False, set_status_on_exception=False)


def granted() -> None:
    """Note on the current span that the gate lets an attempt go: what came before was waiting."""
    trace.get_current_span().add_event("headrace.gate.granted")


def moved(model: str, to: str, reason: str) -> None:
    """Note on the current span that another model is asked."""
    attributes = {"headrace.from": model, "headrace.to": to, "headrace.reason": reason}
    trace.get_current_span().add_event("headrace.fallback", attributes)


def answered(span: trace.Span, answer: Answer, measured: ModelUsage) -> None:
    """Write on the span what the call used."""
    span.set_attributes(
        {
            "gen_ai.usage.input_tokens": measured.prompt_tokens,
            "gen_ai.usage.output_tokens": measured.completion_tokens,
            "gen_ai.response.finish_reasons": (answer.finish_reason,),
        }
    )


def end(span: trace.Span, outcome: str) -> None:
    """End the span; `outcome` is that of the metric, "ok" or how the call failed."""
    if outcome != "ok":
        telemetry.failed(span, outcome)
    span.end()
