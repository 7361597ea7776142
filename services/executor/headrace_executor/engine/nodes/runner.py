"""One node from its start to its checkpoint: condition, attempts with timeout and back-off, size, record.

It knows the life of every node and nothing of what a kind does.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from headrace_blueprint.model import Node
from headrace_blueprint.plan import Plan
from headrace_llm.usage import Bill
from headrace_runtime import errors
from headrace_tools.errors import ToolFailed

from headrace_executor import events
from headrace_executor.engine import failures, page, steps
from headrace_executor.engine.metrics import NODE_RETRIES, NODE_SECONDS, NODES
from headrace_executor.engine.nodes import compose, compute, data, retrieve
from headrace_executor.engine.nodes.attempt import Attempt, Parts, Result
from headrace_executor.engine.notices import Notices
from headrace_executor.engine.scope import Scope
from headrace_executor.errors import LeaseLost, RunFailed
from headrace_executor.model import FailureCode
from headrace_executor.ports import Journal

KINDS: Mapping[str, Callable[[Attempt, Any], Awaitable[Result]]] = {
    "data": data.run,
    "retrieve": retrieve.run,
    "compute": compute.run,
    "compose": compose.run,
}
"""What this engine can run."""

RUNNABLE = frozenset(KINDS)
"""The kinds of `KINDS`, for `validation.validate`."""

log = structlog.get_logger()


class NodeRunner:
    """Runs the nodes of one plan for one owner of a run."""

    def __init__(self, journal: Journal, plan: Plan, scope: Scope, parts: Parts) -> None:
        self._journal = journal
        self._plan = plan
        self._scope = scope
        self._parts = parts
        self._notices = Notices(journal, quiet_s=parts.limits.notice_s)

    async def __call__(self, name: str) -> None:
        """Run one node whose needs are met and make its output visible. Raises `RunFailed`, which names the node."""
        node = self._plan.nodes[name]
        started = time.perf_counter()
        await steps.once(self._journal, f"node:{name}", lambda: self._named(node))
        NODE_SECONDS.labels(node.kind).observe(time.perf_counter() - started)

    async def _named(self, node: Node) -> steps.Done:
        try:
            return await self._done(node)
        except LeaseLost:
            raise
        except RunFailed as failure:
            NODES.labels(node.kind, "failed").inc()
            raise failures.at_node(failure, node.id) from failure
        except Exception as error:
            NODES.labels(node.kind, "failed").inc()
            log.error("node_failed", node=node.id, kind=node.kind, exc_info=error)
            unexpected = RunFailed(FailureCode.INTERNAL, "it failed unexpectedly; the executor's log has the run's id.")
            raise failures.at_node(unexpected, node.id) from error

    async def _done(self, node: Node) -> steps.Done:
        """Run the node. What it has cost is the run's too when it fails or is cancelled."""
        bill = Bill()
        try:
            return await self._result(node, bill)
        except BaseException:
            self._journal.spent(bill.usage)
            raise

    async def _result(self, node: Node, bill: Bill) -> steps.Done:
        condition = self._attempt(node, bill, number=1)
        if node.when is None or await compute.holds(condition, node.when):
            result, count = await self._attempts(node, bill), "done"
        else:
            result, count = Result(None, (events.custom("headrace.skipped", {"step": condition.step}),)), "skipped"
        size = self._scope.check(result.output)
        filled = page.filled(self._plan.blueprint, node.id, result.output, max_bytes=self._parts.limits.max_event_bytes)
        self._scope.add(node.id, result.output, size)
        NODES.labels(node.kind, count).inc()
        return steps.Done(result.output, bill.usage, (*result.events, *filled))

    async def _attempts(self, node: Node, bill: Bill) -> Result:
        """Try the node as often as its policy allows."""
        limits = self._parts.limits
        attempts = min(node.retry.attempts if node.retry else limits.default_attempts[node.kind], limits.max_node_attempts)
        backoff = min(node.retry.backoff_s if node.retry else limits.default_backoff_s, limits.max_node_backoff_s)
        for number in range(1, attempts + 1):
            attempt = self._attempt(node, bill, number=number)
            try:
                return await self._once(attempt, node)
            except RunFailed as failure:
                pause_s = failures.asked_pause_s(failure)
                passes = _may_pass(failure, asked=node.retry is not None) and pause_s <= attempt.timeout_s
                if number == attempts or not passes:
                    raise
                if attempt.message_id:
                    gone = {"step": attempt.step, "message_id": attempt.message_id}
                    self._journal.emit(events.custom("headrace.restarted", gone))
            NODE_RETRIES.labels(node.kind).inc()
            log.info("node_retried", node=node.id, kind=node.kind, attempt=number)
            await self._parts.sleep(max(pause_s, min(backoff * 2 ** (number - 1), limits.max_node_backoff_s)))
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _once(self, attempt: Attempt, node: Node) -> Result:
        timeout = asyncio.timeout(attempt.timeout_s)
        try:
            async with timeout:
                return await KINDS[node.kind](attempt, node)
        except Exception as error:
            if attempt.message_id:
                self._journal.emit(events.text_end(attempt.message_id))
            if isinstance(error, TimeoutError) and timeout.expired():
                text = f"it was not done within {attempt.timeout_s:g} s; give it a larger timeout_s or less to do."
                raise RunFailed(FailureCode.DEADLINE, text) from error
            raise

    def _attempt(self, node: Node, bill: Bill, *, number: int) -> Attempt:
        limits = self._parts.limits
        timeout_s = min(node.timeout_s or limits.node_timeout_s[node.kind], limits.max_node_timeout_s)
        needs = self._plan.needs[node.id]
        unblocks = self._plan.unblocks[node.id]
        on_wait = self._notices.of(f"node:{node.id}")
        return Attempt(self._journal, self._parts, self._scope, node.id, needs, number, timeout_s, unblocks, on_wait, bill)


def _may_pass(failure: RunFailed, *, asked: bool) -> bool:
    """Whether another attempt may succeed. Unless a policy asked for more, only what was away is tried again."""
    cause = failure.__cause__
    if isinstance(cause, ToolFailed):
        return cause.passes
    if failure.failure.code is FailureCode.INVALID_BLUEPRINT or isinstance(cause, errors.FailedPrecondition):
        return False
    return asked or isinstance(cause, errors.Unavailable)
