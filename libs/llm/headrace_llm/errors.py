"""How asking a model fails. Every error of this library is one of these.

ServiceError (headrace_runtime.errors)
├── InvalidArgument
│   └── UnknownModel          no such id in the registry
├── ResourceExhausted
│   ├── Throttled             the provider said 429; `retry_after_s` is its word or our guess
│   └── GateRefused           no slot before the deadline; `retry_after_s` says when there would be one
├── Unavailable
│   └── ProviderUnavailable   5xx, no connection, silence, a stream that broke off
├── FailedPrecondition
│   ├── ProviderRejected      bad request, context too long, content filter
│   └── ProviderAuth          wrong key or model name; the message says what to change
├── DeadlineExceeded
│   └── CallTimeout           the caller's deadline or the model's timeout passed
└── Aborted
    └── InvalidAnswer         the answer does not satisfy the schema

InvalidFile                   raised at start, never by a call
├── InvalidRegistry           a models.yaml that cannot be used
└── InvalidWarmUp             a warm-up list that cannot be used
"""

from collections.abc import Sequence
from dataclasses import dataclass

from headrace_runtime import errors
from headrace_runtime.settings import InvalidSettings

from headrace_llm.usage import Usage


class UnknownModel(errors.InvalidArgument):
    """No model of this name is registered."""

    default_reason = "UNKNOWN_MODEL"


class Throttled(errors.ResourceExhausted):
    """The provider answered 429. `retry_after_s` is always set."""

    default_reason = "PROVIDER_THROTTLED"


class GateRefused(errors.ResourceExhausted):
    """The gate cannot grant a slot before the deadline."""

    default_reason = "QUOTA_WAIT_TOO_LONG"


class ProviderUnavailable(errors.Unavailable):
    """The provider failed or could not be reached."""

    default_reason = "PROVIDER_UNAVAILABLE"


class ProviderRejected(errors.FailedPrecondition):
    """The provider refused this request and would refuse it again."""

    default_reason = "PROVIDER_REJECTED"


class ProviderAuth(errors.FailedPrecondition):
    """The provider does not know the key or the model name."""

    default_reason = "PROVIDER_AUTH"


class CallTimeout(errors.DeadlineExceeded):
    """The answer was not whole in time."""

    default_reason = "MODEL_TIMEOUT"


class InvalidAnswer(errors.Aborted):
    """The answer does not satisfy the schema. It was paid for: `usage` says what it cost."""

    default_reason = "INVALID_ANSWER"

    def __init__(self, message: str, *, text: str, faults: Sequence[str], usage: Usage) -> None:
        super().__init__(message)
        self.text = text
        """The answer as it came."""
        self.faults = tuple(faults)
        """Each a JSON pointer, a colon and what is wrong there."""
        self.usage = usage


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong place in a file."""

    line: int
    """From 1; 0 when it concerns the file as a whole."""
    path: str
    """Keys with dots between."""
    message: str


class InvalidFile(InvalidSettings):
    """A file with every fault that it has, one a line."""

    def __init__(self, source: str, faults: Sequence[Fault]) -> None:
        lines = [f"{source}:{f.line}: {f.path + ': ' if f.path else ''}{f.message}" for f in faults]
        super().__init__("\n".join(lines))
        self.faults = tuple(faults)


class InvalidRegistry(InvalidFile):
    """A models.yaml that cannot be used."""


class InvalidWarmUp(InvalidFile):
    """A list of requests to warm up with that cannot be used."""
