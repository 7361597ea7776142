"""How asking a model fails. Every error of this library is one of these; `ErrorClass` says what can be done about it.

ServiceError (headrace_runtime.errors)
├── InvalidArgument
│   └── UnknownModel          no such id in the registry
├── ResourceExhausted
│   ├── Throttled             the provider said 429; `retry_after_s` is its word or our guess
│   ├── GateRefused           no slot before the deadline; `retry_after_s` says when there would be one
│   └── BudgetSpent           no room in the tenant's budget of the day until `retry_after_s`: midnight, UTC, or a moment
├── Unavailable
│   └── ProviderUnavailable   5xx, no connection, a stream that broke off
│       ├── ModelSilent       no token for too long
│       └── BreakerOpen       not asked at all: it kept failing; `retry_after_s` says when it is tried again
├── FailedPrecondition
│   ├── ProviderRejected      the provider refuses this request
│   │   ├── PromptTooLong     more than the model reads
│   │   └── ContentRefused    the provider's content filter
│   └── ProviderAuth          wrong key or model name; the message says what to change
│       └── QuotaUsedUp       the account has no money or free calls left
├── DeadlineExceeded
│   └── CallTimeout           the caller's deadline or the model's timeout passed
└── Aborted
    └── InvalidAnswer         the answer does not satisfy the schema

InvalidFile (headrace_runtime.settings)   raised at start, never by a call
├── InvalidRegistry           a models.yaml that cannot be used
└── InvalidWarmUp             a warm-up list that cannot be used
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Literal

from headrace_runtime import errors
from headrace_runtime.settings import InvalidFile

from headrace_llm.usage import Usage


class ErrorClass(StrEnum):
    """What kind of failure it is, which decides what is done about it (`treatment`). A metric's label."""

    THROTTLED = "throttled"
    TRANSIENT = "transient"
    HUNG = "hung"
    """Silent, before the first token or after."""
    TIMEOUT = "timeout"
    """Not whole in time."""
    CONTENT = "content"
    AUTH = "auth"
    """Key, account or model name: nothing but a change by hand helps."""
    REQUEST = "request"
    TOO_LONG = "too_long"
    """A request that a model with a larger context could answer."""
    ANSWER = "answer"
    GATE = "gate"
    BREAKER = "breaker"


class UnknownModel(errors.InvalidArgument):
    """No model of this name is registered."""

    default_reason = "UNKNOWN_MODEL"


What = Literal["requests", "tokens", "burst", "concurrency", "unknown"]
"""The limit that a 429 names."""


class Throttled(errors.ResourceExhausted):
    """The provider answered 429. `retry_after_s` is set for whoever asked a `ModelClient`; a provider may not know it."""

    default_reason = "PROVIDER_THROTTLED"

    def __init__(self, message: str, *, retry_after_s: float | None = None, what: What = "unknown") -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.what: What = what


class GateRefused(errors.ResourceExhausted):
    """The gate cannot grant a slot before the deadline."""

    default_reason = "QUOTA_WAIT_TOO_LONG"


class BudgetSpent(errors.ResourceExhausted):
    """The tenant's budget of today has no room for the call. Nothing was asked of anybody."""

    default_reason = "BUDGET_SPENT"
    IN_FLIGHT = "BUDGET_IN_FLIGHT"
    """The reason while only calls in flight fill it: there may be room in a moment."""


class ProviderUnavailable(errors.Unavailable):
    """The provider failed or could not be reached."""

    default_reason = "PROVIDER_UNAVAILABLE"


class ModelSilent(ProviderUnavailable):
    """No token came for longer than a stream may be silent."""

    default_reason = "PROVIDER_SILENT"


class BreakerOpen(ProviderUnavailable):
    """The model kept failing and is left alone for now. `retry_after_s` is always set."""

    default_reason = "PROVIDER_BREAKER_OPEN"


class ProviderRejected(errors.FailedPrecondition):
    """The provider refused this request and would refuse it again."""

    default_reason = "PROVIDER_REJECTED"


class PromptTooLong(ProviderRejected):
    """The prompt does not fit the model's context."""

    default_reason = "PROVIDER_CONTEXT_TOO_LONG"


class ContentRefused(ProviderRejected):
    """The provider's content filter refused the prompt or the answer."""

    default_reason = "PROVIDER_CONTENT_REFUSED"


class ProviderAuth(errors.FailedPrecondition):
    """The provider does not know the key or the model name."""

    default_reason = "PROVIDER_AUTH"


class QuotaUsedUp(ProviderAuth):
    """The account has nothing left to pay calls with; waiting does not bring it back."""

    default_reason = "PROVIDER_QUOTA_USED_UP"


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


_CLASSES: Sequence[tuple[type[errors.ServiceError], ErrorClass]] = (
    (Throttled, ErrorClass.THROTTLED),
    (GateRefused, ErrorClass.GATE),
    (ModelSilent, ErrorClass.HUNG),
    (BreakerOpen, ErrorClass.BREAKER),
    (ProviderUnavailable, ErrorClass.TRANSIENT),
    (PromptTooLong, ErrorClass.TOO_LONG),
    (ContentRefused, ErrorClass.CONTENT),
    (ProviderAuth, ErrorClass.AUTH),
    (CallTimeout, ErrorClass.TIMEOUT),
    (InvalidAnswer, ErrorClass.ANSWER),
)


def class_of(error: errors.ServiceError) -> ErrorClass:
    """The class of a failed call; what is not listed is the request's own fault."""
    return next((found for kind, found in _CLASSES if isinstance(error, kind)), ErrorClass.REQUEST)


class InvalidRegistry(InvalidFile):
    """A models.yaml that cannot be used."""


class InvalidWarmUp(InvalidFile):
    """A list of requests to warm up with that cannot be used."""
