"""One request on its way through all its attempts, and the limits that hold for each."""

from dataclasses import dataclass, field, replace

from headrace_runtime import errors

from headrace_llm import answers, policy
from headrace_llm.breaker import BreakerRules
from headrace_llm.client import ChatRequest
from headrace_llm.ports import ProviderCall
from headrace_llm.registry import ModelEntry

SURELY_TOO_LONG = 2
"""A prompt whose estimate is this many times the context is refused without asking; the estimate is rough."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits of a call; `LlmSettings` explains each."""

    cool_down_s: float = 2.0
    max_cool_down_s: float = 300.0
    first_token_s: float = 60.0
    silence_s: float = 30.0
    unavailable_attempts: int = 2
    throttled_attempts: int = 10
    retry_ratio: float = 0.1
    retry_floor: int = 10
    fair_s: float = 10.0
    breaker: BreakerRules = field(default_factory=BreakerRules)
    default_max_tokens: int = 1024


@dataclass(frozen=True, slots=True)
class Job:
    """What is asked of whom, until when."""

    request: ChatRequest
    entry: ModelEntry
    call: ProviderCall
    prompt_tokens: int
    """An estimate."""
    until: float
    """On the client's clock."""
    started_at: float
    """In seconds since 1970, the same for all attempts."""
    validator: answers.Validator | None

    @staticmethod
    def of(request: ChatRequest, entry: ModelEntry, *, now: float, wall_now: float) -> "Job":
        """Check a request. `now` is on the client's clock, `wall_now` since 1970. Raises `InvalidArgument`."""
        if not request.messages:
            raise errors.InvalidArgument("a request needs at least one message")
        if any(_unencodable(message.content) for message in request.messages):
            raise errors.InvalidArgument("a message has half a surrogate pair, which is no text")
        return Job(
            request=request,
            entry=entry,
            call=_call(request, entry),
            prompt_tokens=policy.prompt_tokens(request, entry),
            until=now + request.deadline_s,
            started_at=wall_now if request.started_at is None else request.started_at,
            validator=None if request.schema is None else answers.validator(request.schema),
        )

    def on(self, entry: ModelEntry) -> "Job":
        """The same asked of another model."""
        if entry == self.entry:
            return self
        tokens = policy.prompt_tokens(self.request, entry)
        return replace(self, entry=entry, call=_call(self.request, entry), prompt_tokens=tokens)

    @property
    def may_fit(self) -> bool:
        """Whether it is worth asking the model to read the prompt."""
        return self.prompt_tokens <= SURELY_TOO_LONG * self.entry.context_tokens


def _call(request: ChatRequest, entry: ModelEntry) -> ProviderCall:
    longest = min(request.max_tokens or entry.max_output_tokens, entry.max_output_tokens)
    return ProviderCall(
        entry, request.messages, longest, request.temperature, request.schema, request.tools, request.options
    )


def _unencodable(text: str) -> bool:
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
