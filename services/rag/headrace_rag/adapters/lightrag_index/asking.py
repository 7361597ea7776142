"""LightRAG's calls of a model, by way of the model library: quota, cost and deadlines apply, and only while a job runs."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from headrace_llm.client import ChatRequest, Completion, Message, Priority
from headrace_llm.errors import InvalidAnswer, ProviderRejected
from headrace_runtime.errors import InternalError, ServiceError

from headrace_rag import extraction, metrics
from headrace_rag.job import Job
from headrace_rag.ports import Models

MAX_SUMMARY_TOKENS = 300


@dataclass(frozen=True, slots=True)
class AskLimits:
    """Of one call."""

    timeout_s: float
    """The gate's queue included."""
    max_tokens: int


class Asking:
    """The model as one workspace's LightRAG calls it. `job` is whom the calls are for; LightRAG's own tasks make them."""

    def __init__(self, models: Models, *, tenant_id: str, limits: AskLimits) -> None:
        self._models = models
        self._tenant_id = tenant_id
        self._limits = limits
        self.job: Job | None = None

    def function(self) -> Callable[..., Awaitable[str]]:
        """What LightRAG is given: a plain function, as it copies what it is given, and with a method its object."""

        async def ask(prompt: str, system_prompt: str | None = None, response_format: Any = None, **_: Any) -> str:
            job = self.job
            if job is None:
                raise InternalError("LightRAG asked a model outside of a job")
            try:
                completion = await self._complete(job, prompt, system_prompt, extracting=response_format is not None)
            except InvalidAnswer as error:
                job.usage += error.usage
                _unread(job, "invalid")
                return error.text
            except ProviderRejected:
                if response_format is None:
                    return extraction.summary_without_model(prompt)
                _unread(job, "rejected")
                return extraction.NOTHING
            except ServiceError as error:
                job.stop(error)
                raise
            job.usage += completion.usage
            return completion.text

        return ask

    async def _complete(self, job: Job, prompt: str, system_prompt: str | None, *, extracting: bool) -> Completion:
        turns = [Message("system", system_prompt)] if system_prompt else []
        request = ChatRequest(
            messages=(*turns, Message("user", prompt)),
            tenant_id=self._tenant_id,
            deadline_s=min(job.remaining_s(), self._limits.timeout_s),
            model=self._models.registry.resolve(role="extract").id,
            priority=Priority.BACKGROUND,
            max_tokens=self._limits.max_tokens if extracting else MAX_SUMMARY_TOKENS,
            schema=extraction.SCHEMA if extracting else None,
            purpose="extract" if extracting else "summary",
        )
        return await self._models.complete(job.context.applied(request))


def _unread(job: Job, reason: str) -> None:
    """Rubbish, or nothing, came back: LightRAG takes from it what it can, and the chunk stays to be found by its vector."""
    job.unread_chunks += 1
    metrics.UNREAD_CHUNKS.labels(reason).inc()
