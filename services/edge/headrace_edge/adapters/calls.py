"""How the edge calls a service: with a deadline, again while the service is away, with errors that name no address."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import grpc
import tenacity
from headrace_runtime import channels, errors

from headrace_edge import metrics

Response = TypeVar("Response")

_DETAILS_KEY = "grpc-status-details-bin"
_TRANSPORT_CODES = frozenset({grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL})


@dataclass(frozen=True, slots=True)
class Caller:
    """Calls one service."""

    service: str
    """Its name in errors, such as executor."""
    timeout_s: float
    retry_s: float
    """How long a repeatable call is repeated while the service is away."""

    async def once(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[Any, Response]", request: Any, *, timeout_s: float | None = None
    ) -> Response:
        """Call once. Raises ServiceError."""
        try:
            return await channels.unary(method, request, timeout_s=timeout_s or self.timeout_s)
        except errors.ServiceError as error:
            raise self._translate(error) from error

    async def repeatable(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[Any, Response]", request: Any, *, timeout_s: float | None = None
    ) -> Response:
        """Call, and again with back-off while the service is away. For reads and for writes that carry a request id."""
        try:
            return await self.once(method, request, timeout_s=timeout_s)
        except errors.Unavailable:
            if self.retry_s <= 0:
                raise
        counter = metrics.CALL_RETRIES.labels(self.service)
        async for attempt in tenacity.AsyncRetrying(
            stop=tenacity.stop_before_delay(self.retry_s),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=1),
            retry=tenacity.retry_if_exception_type(errors.Unavailable),
            reraise=True,
        ):
            with attempt:
                counter.inc()
                return await self.once(method, request, timeout_s=timeout_s)
        raise AssertionError("tenacity ends with a result or an exception")

    async def stream(
        self, method: "grpc.aio.UnaryStreamMultiCallable[Any, Response]", request: Any, *, timeout_s: float
    ) -> AsyncGenerator[Response, None]:
        """Iterate over a stream once. Raises ServiceError, Unavailable for every way in which it can break."""
        try:
            opened = cast("AsyncGenerator[Response, None]", channels.stream(method, request, timeout_s=timeout_s))
            async with aclosing(opened) as responses:
                async for response in responses:
                    yield response
        except errors.ServiceError as error:
            raise self._translate(error) from error

    def _translate(self, error: errors.ServiceError) -> errors.ServiceError:
        """What the transport itself said names addresses and says too much; what a service said passes."""
        cause = error.__cause__
        if not isinstance(cause, grpc.aio.AioRpcError) or any(
            k == _DETAILS_KEY for k, _ in cause.trailing_metadata() or ()
        ):
            return error
        if cause.code() is grpc.StatusCode.UNAVAILABLE or cause.code() in _TRANSPORT_CODES:
            return errors.Unavailable(f"the {self.service} service is away; try again", reason="SERVICE_UNAVAILABLE")
        if cause.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return errors.DeadlineExceeded(f"the {self.service} service did not answer in time")
        return error
