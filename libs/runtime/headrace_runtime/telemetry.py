"""Traces over OTLP/gRPC. Without an endpoint neither the SDK for them nor an exporter is imported."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import grpc
from opentelemetry import context, trace
from opentelemetry.util.types import AttributeValue

FLUSH_S = 3
"""Longest wait for a collector: for each batch, and at the end of a process."""

_enabled = False


def enabled() -> bool:
    """Whether `configure` was given an endpoint."""
    return _enabled


def configure(service: str, endpoint: str) -> None:
    """Export this process's spans to `endpoint`; an empty one leaves the API's no-op tracer in place."""
    global _enabled
    if not endpoint:
        return
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from headrace_runtime import exporting

    provider = TracerProvider(resource=Resource.create({"service.name": f"headrace-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(exporting.exporter(endpoint, timeout_s=FLUSH_S)))
    trace.set_tracer_provider(provider)
    _enabled = True


def flush() -> None:
    """Send the spans that wait, for at most `FLUSH_S`."""
    if not _enabled:
        return
    from opentelemetry.sdk.trace import TracerProvider

    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        # On a thread that may be left behind: the SDK takes no deadline for this yet.
        sending = threading.Thread(target=provider.force_flush, name="flush spans", daemon=True)
        sending.start()
        sending.join(FLUSH_S)


@contextmanager
def span(
    tracer: trace.Tracer,
    name: str,
    *,
    kind: trace.SpanKind = trace.SpanKind.INTERNAL,
    parent: context.Context | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> Iterator[trace.Span]:
    """Make the block a span. What it raises is told by its type only: an error's message can quote a user."""
    if parent is None and not _enabled and isinstance(tracer, trace.ProxyTracer):
        yield trace.get_current_span()  # what the no-op tracer's span would be, and steps have one each
        return
    with tracer.start_as_current_span(
        name, parent, kind, attributes, record_exception=False, set_status_on_exception=False
    ) as made:
        try:
            yield made
        except Exception as error:
            failed(made, type(error).__name__)
            raise


def failed(ended: trace.Span, kind: str) -> None:
    """Mark a span as failed; `kind` is one of few names."""
    ended.set_attribute("error.type", kind)
    ended.set_status(trace.StatusCode.ERROR)


def server_interceptors() -> Sequence[grpc.aio.ServerInterceptor]:
    """The interceptors that continue a caller's trace, none when tracing is off. Health checks are no spans."""
    if not _enabled:
        return ()
    from opentelemetry.instrumentation.grpc import aio_server_interceptor, filters

    return (aio_server_interceptor(filter_=filters.negate(filters.health_check())),)


def client_interceptors() -> Sequence[grpc.aio.ClientInterceptor]:
    """The interceptors that make a span of each outgoing call, none when tracing is off. Health checks are no spans."""
    if not _enabled:
        return ()
    from opentelemetry.instrumentation.grpc import aio_client_interceptors, filters

    return tuple(aio_client_interceptors(filter_=filters.negate(filters.health_check())))
