"""One reading of a document while it lasts: its deadline, what it cost, and why it ended early. Knows no client."""

import asyncio
from collections.abc import Callable

from headrace_llm.call_context import NO_CONTEXT, CallContext
from headrace_llm.usage import Usage
from headrace_runtime.errors import DeadlineExceeded, ServiceError

LEAST_S = 0.5
"""With less time than this left no model is asked."""


class Job:
    """Shared between the writer, who may stop it, and the model calls that it makes."""

    def __init__(self, *, budget_s: float, clock: Callable[[], float], context: CallContext = NO_CONTEXT) -> None:
        self.context = context
        self._clock = clock
        self._until = clock() + budget_s
        self.usage = Usage()
        self.stopped = asyncio.Event()
        self.error: ServiceError | None = None
        """Why it ended early; the first reason counts."""
        self.begun = False
        """Whether the index was touched: from then on it is stopped, not cancelled."""
        self.unread_chunks = 0
        """Chunks of which the model made nothing: they are found by vector alone."""

    def stop(self, error: ServiceError) -> None:
        """End it: the model is not asked again."""
        self.error = self.error or error
        self.stopped.set()

    def remaining_s(self) -> float:
        """Seconds until the deadline. Raises what stopped the job, `DeadlineExceeded` when its time is over."""
        left = self._until - self._clock()
        if left < LEAST_S:
            self.stop(DeadlineExceeded("the document could not be read before the deadline; what was done is kept"))
        if self.error is not None:
            raise self.error
        return left
