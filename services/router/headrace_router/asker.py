"""Asking the cheap model what a message wants, within limits. A question that it does not answer is no error."""

import asyncio
from dataclasses import dataclass

import structlog
from headrace_llm.call_context import NO_CONTEXT, CallContext
from headrace_llm.client import ChatRequest, Priority
from headrace_llm.errors import InvalidAnswer
from headrace_llm.usage import Usage
from headrace_runtime.errors import ServiceError

from headrace_router import metrics, prompt
from headrace_router.model import Answer, Question
from headrace_router.ports import Models

RESERVE_S = 0.1
"""Of the caller's deadline, kept for the way back."""
LEAST_S = 0.2
"""With less time than this no model is asked."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of asking; `usage` counts failed calls that cost something too."""

    answer: Answer | None
    usage: Usage


class Asker:
    """Asks at most `slots` questions at a time, each for at most `timeout_s` seconds."""

    def __init__(self, models: Models, *, timeout_s: float, slots: int) -> None:
        self._models = models
        self._timeout_s = timeout_s
        self._slots = slots
        self._waiting = 0

    async def ask(
        self, question: Question, *, tenant_id: str, budget_s: float | None, context: CallContext = NO_CONTEXT
    ) -> Asked:
        """Ask, within `budget_s` seconds when the caller has a deadline. No failure of the model is raised."""
        deadline_s = self._timeout_s if budget_s is None else min(self._timeout_s, budget_s - RESERVE_S)
        if deadline_s < LEAST_S:
            return _unanswered("no_time")
        if self._waiting >= self._slots:
            return _unanswered("busy")
        self._waiting += 1
        try:
            with metrics.WAITING.labels("model").track_inprogress():
                async with asyncio.timeout(deadline_s):
                    return await self._complete(question, tenant_id, deadline_s, context)
        except InvalidAnswer as error:
            return _unanswered("invalid", error.usage)
        except ServiceError as error:
            log.info("model_unanswered", reason=error.reason)
            return _unanswered(error.code.name.lower())
        except TimeoutError:
            return _unanswered("deadline_exceeded")
        finally:
            self._waiting -= 1

    async def _complete(self, question: Question, tenant_id: str, deadline_s: float, context: CallContext) -> Asked:
        request = ChatRequest(
            messages=prompt.messages(question),
            tenant_id=tenant_id,
            deadline_s=deadline_s,
            model=self._models.registry.resolve(role="cheap").id,
            priority=Priority.INTERACTIVE,
            max_tokens=prompt.MAX_ANSWER_TOKENS,
            schema=prompt.SCHEMA,
            purpose="route",
        )
        completion = await self._models.complete(context.applied(request))
        answer = prompt.parse(completion.text)
        return Asked(answer, completion.usage) if answer else _unanswered("invalid", completion.usage)


def _unanswered(reason: str, usage: Usage | None = None) -> Asked:
    metrics.UNANSWERED.labels(reason).inc()
    return Asked(None, usage or Usage())
