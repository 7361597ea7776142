"""One request on its way through all its attempts, and the limits that hold for each."""

from dataclasses import dataclass

from headrace_runtime import errors

from headrace_llm import answers, policy
from headrace_llm.client import ChatRequest
from headrace_llm.errors import ProviderRejected
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
    validator: answers.Validator | None

    @staticmethod
    def of(request: ChatRequest, entry: ModelEntry, *, now: float) -> "Job":
        """Check a request. Raises `InvalidArgument` and, for what surely does not fit the model, `ProviderRejected`."""
        if not request.messages:
            raise errors.InvalidArgument("a request needs at least one message")
        if any(_unencodable(message.content) for message in request.messages):
            raise errors.InvalidArgument("a message has half a surrogate pair, which is no text")
        prompt = policy.estimate_tokens(message.content for message in request.messages)
        if prompt > SURELY_TOO_LONG * entry.context_tokens:
            raise ProviderRejected(f"about {prompt} tokens of prompt for {entry.id}, which reads {entry.context_tokens}")
        longest = min(request.max_tokens or entry.max_output_tokens, entry.max_output_tokens)
        return Job(
            request=request,
            entry=entry,
            call=ProviderCall(
                entry, request.messages, longest, request.temperature, request.schema, request.tools, request.options
            ),
            prompt_tokens=prompt,
            until=now + request.deadline_s,
            validator=None if request.schema is None else answers.validator(request.schema),
        )


def _unencodable(text: str) -> bool:
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
