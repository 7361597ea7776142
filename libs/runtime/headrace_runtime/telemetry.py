"""Traces over OTLP/gRPC. Without an endpoint nothing is imported, installed or measured."""

from collections.abc import Sequence

import grpc

FLUSH_S = 3
"""Longest wait for a collector at the end of a process."""

_enabled = False


def enabled() -> bool:
    """Whether `configure` was given an endpoint."""
    return _enabled


def configure(service: str, endpoint: str) -> None:
    """Export this process's spans to `endpoint`; an empty one leaves the API's no-op tracer in place."""
    global _enabled
    if not endpoint:
        return
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": f"headrace-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    trace.set_tracer_provider(provider)
    _enabled = True


def flush() -> None:
    """Send the spans that wait, for at most `FLUSH_S`."""
    if _enabled:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider

        provider = trace.get_tracer_provider()
        if isinstance(provider, TracerProvider):
            provider.force_flush(FLUSH_S * 1000)


def server_interceptors() -> Sequence[grpc.aio.ServerInterceptor]:
    """The interceptors that continue a caller's trace, none when tracing is off."""
    if not _enabled:
        return ()
    from opentelemetry.instrumentation.grpc import aio_server_interceptor

    return (aio_server_interceptor(),)


def client_interceptors() -> Sequence[grpc.aio.ClientInterceptor]:
    """The interceptors that make a span of each outgoing call, none when tracing is off."""
    if not _enabled:
        return ()
    from opentelemetry.instrumentation.grpc import aio_client_interceptors

    return tuple(aio_client_interceptors())
