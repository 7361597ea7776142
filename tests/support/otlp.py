"""A trace collector on loopback: a real OTLP/gRPC server that keeps the spans that it is sent."""

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


@dataclass(frozen=True, slots=True)
class Span:
    """One span, as its service told it."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    text: str
    """All of it, printed."""


@dataclass
class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Implements the OTLP TraceService."""

    endpoint: str = ""
    _spans: list[Span] = field(default_factory=list)
    _arrived: threading.Condition = field(default_factory=threading.Condition)

    def Export(  # noqa: N802 - the protocol's name
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        with self._arrived:
            self._spans.extend(_decoded(request))
            self._arrived.notify_all()
        return trace_service_pb2.ExportTraceServiceResponse()

    def until(self, satisfied: Callable[[list[Span]], bool], *, timeout_s: float) -> list[Span]:
        """The spans once `satisfied`, or those that there are when the time is over."""
        with self._arrived:
            self._arrived.wait_for(lambda: satisfied(self._spans), timeout_s)
            return list(self._spans)


@contextmanager
def collector() -> Iterator[Collector]:
    """A running collector."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4, thread_name_prefix="collector"))
    made = Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(made, server)  # type: ignore[no-untyped-call]
    made.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield made
    finally:
        server.stop(grace=None).wait(10)


def _decoded(request: trace_service_pb2.ExportTraceServiceRequest) -> Iterator[Span]:
    for resource in request.resource_spans:
        service = _attributes(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    service,
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    _attributes(span.attributes),
                    str(span),
                )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
