"""The errors that cross a service's border, and how google.rpc.Status carries them.

    ServiceError
    ├── InvalidArgument      the caller must change the request; `violations` say where
    ├── NotFound
    ├── AlreadyExists        it was to be new
    ├── FailedPrecondition   the request is right, the state is not
    ├── OutOfRange
    ├── Unauthenticated
    ├── PermissionDenied
    ├── ResourceExhausted    a limit; `retry_after_s` says when to come back
    ├── Aborted              somebody else was first; try again
    ├── Unavailable          a part is away; try again
    ├── DeadlineExceeded
    ├── DataLoss
    └── InternalError        our fault; the caller sees a fixed text

Each has a `reason`, UPPER_SNAKE_CASE, that programs may compare (google.rpc.ErrorInfo).
"""

from dataclasses import dataclass
from typing import ClassVar

import grpc
from google.protobuf import duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

DOMAIN = "headrace.dev"
"""google.rpc.ErrorInfo.domain of every error of ours."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One wrong field of a request."""

    field: str
    """Path of the field, dots between names, `[n]` for items; a JSON pointer inside JSON bodies."""
    message: str


class ServiceError(Exception):
    """A failure that the caller of a service is told about."""

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN
    default_reason: ClassVar[str] = "UNKNOWN"

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        retry_after_s: float | None = None,
        violations: tuple[Violation, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.retry_after_s = retry_after_s
        self.violations = violations


class InvalidArgument(ServiceError):
    """The request is wrong; sending it again will not help."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    default_reason = "INVALID_ARGUMENT"


class NotFound(ServiceError):
    """There is no such thing, or it is another tenant's."""

    code = grpc.StatusCode.NOT_FOUND
    default_reason = "NOT_FOUND"


class AlreadyExists(ServiceError):
    """Something was to be made, and it is there already."""

    code = grpc.StatusCode.ALREADY_EXISTS
    default_reason = "ALREADY_EXISTS"


class FailedPrecondition(ServiceError):
    """The state does not allow it."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    default_reason = "FAILED_PRECONDITION"


class OutOfRange(ServiceError):
    """A position past the end."""

    code = grpc.StatusCode.OUT_OF_RANGE
    default_reason = "OUT_OF_RANGE"


class Unauthenticated(ServiceError):
    """Nobody we know."""

    code = grpc.StatusCode.UNAUTHENTICATED
    default_reason = "UNAUTHENTICATED"


class PermissionDenied(ServiceError):
    """Somebody we know, who may not."""

    code = grpc.StatusCode.PERMISSION_DENIED
    default_reason = "PERMISSION_DENIED"


class ResourceExhausted(ServiceError):
    """A limit was reached."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    default_reason = "RESOURCE_EXHAUSTED"


class Aborted(ServiceError):
    """A conflict with somebody who was first."""

    code = grpc.StatusCode.ABORTED
    default_reason = "ABORTED"


class Unavailable(ServiceError):
    """A part that is needed does not answer."""

    code = grpc.StatusCode.UNAVAILABLE
    default_reason = "UNAVAILABLE"


class DeadlineExceeded(ServiceError):
    """It took longer than the caller allows."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
    default_reason = "DEADLINE_EXCEEDED"


class DataLoss(ServiceError):
    """What was asked for is gone."""

    code = grpc.StatusCode.DATA_LOSS
    default_reason = "DATA_LOSS"


class InternalError(ServiceError):
    """Our fault."""

    code = grpc.StatusCode.INTERNAL
    default_reason = "INTERNAL"


_BY_CODE: dict[grpc.StatusCode, type[ServiceError]] = {cls.code: cls for cls in ServiceError.__subclasses__()}


def to_status(error: ServiceError) -> grpc.Status:
    """Encode an error with its details, for `context.abort_with_status`."""
    status = status_pb2.Status(code=error.code.value[0], message=error.message)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN))
    if error.retry_after_s is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(round(error.retry_after_s * 1e9))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    if error.violations:
        fields = [
            error_details_pb2.BadRequest.FieldViolation(field=v.field, description=v.message) for v in error.violations
        ]
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=fields))
    encoded: grpc.Status = rpc_status.to_status(status)
    return encoded


def from_rpc(error: grpc.aio.AioRpcError) -> ServiceError:
    """Decode what a service answered into the error that it raised.

    An error that no service of ours made (a connection refused, a deadline) has its code's default reason.
    """
    cls = _BY_CODE.get(error.code(), InternalError)
    message = error.details() or error.code().name.lower().replace("_", " ")
    reason = ""
    retry_after_s: float | None = None
    violations: tuple[Violation, ...] = ()
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        status = status_pb2.Status.FromString(value if isinstance(value, bytes) else value.encode("latin-1"))
        for detail in status.details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                reason = info.reason
            retry = error_details_pb2.RetryInfo()
            if detail.Unpack(retry):
                retry_after_s = retry.retry_delay.ToNanoseconds() / 1e9
            bad = error_details_pb2.BadRequest()
            if detail.Unpack(bad):
                violations = tuple(Violation(v.field, v.description) for v in bad.field_violations)
    return cls(message, reason=reason, retry_after_s=retry_after_s, violations=violations)


assert all(cls.code.value[0] in code_pb2.Code.values() for cls in _BY_CODE.values())
