"""Turns a provider's answer into a `Completion`: what it cost, and whether it is what was asked for. Pure."""

from headrace_runtime.errors import ServiceError

from headrace_llm import answers, policy
from headrace_llm.client import Completion
from headrace_llm.errors import ErrorClass, InvalidAnswer, class_of
from headrace_llm.job import Job
from headrace_llm.ports import Answer
from headrace_llm.usage import ModelUsage, Usage

UNREAD = frozenset(ErrorClass) - {ErrorClass.HUNG, ErrorClass.TIMEOUT}
"""Failures before the first token that cost nothing: the provider said no. One that was silent may have read the prompt."""


def measure(job: Job, answer: Answer) -> ModelUsage:
    """The call's tokens and cost; tokens are estimated where the provider does not count them."""
    prompt = job.prompt_tokens if answer.prompt_tokens is None else answer.prompt_tokens
    completion = answer.completion_tokens
    if completion is None:
        written = (part for call in answer.tool_calls for part in (call.name, call.arguments))
        completion = policy.estimate_tokens([answer.text, *written])
    price = job.entry.price
    cost = answer.cost_usd if price is None else price.cost_usd(prompt_tokens=prompt, completion_tokens=completion)
    return ModelUsage(llm_calls=1, prompt_tokens=prompt, completion_tokens=completion, cost_usd=cost)


def broken_off(job: Job, pieces: int, cause: ServiceError | None) -> Usage:
    """About what a call cost that did not come to its end: its prompt and its pieces, each a token or more.

    `cause` is how it failed, None when its caller broke it off.
    """
    if not pieces and cause is not None and class_of(cause) in UNREAD:
        return Usage()
    return Usage({job.entry.id: measure(job, Answer("", "", None, pieces, None))})


def completion(job: Job, answer: Answer, usage: Usage) -> Completion:
    """The caller's answer. Raises `InvalidAnswer` when it does not satisfy the request's schema.

    `usage` is what all the request's attempts cost. A text that has to be JSON comes without the Markdown fence that a
    model may have put around it. An answer that calls tools has no text to be checked.
    """
    if job.validator is None or answer.tool_calls:
        return Completion(answer.text, job.entry.id, usage, answer.finish_reason, answer.tool_calls)
    text = answers.unfence(answer.text)
    faults = answers.faults(text, job.validator)
    if faults:
        cut = ", cut off by max_tokens" if answer.finish_reason == "length" else ""
        message = f"{job.entry.id} gave an answer that does not satisfy the schema{cut}; first fault {faults[0]}"
        raise InvalidAnswer(message, text=answer.text, faults=faults, usage=usage)
    return Completion(text, job.entry.id, usage, answer.finish_reason)
