"""One node from its start to its checkpoint: condition, attempts with timeout and back-off, size, record, gap.

It knows the life of every node and nothing of what a kind does.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import structlog
from headrace_blueprint.plan import Plan
from headrace_llm.usage import Bill

from headrace_executor import events
from headrace_executor.engine import failures, page, steps
from headrace_executor.engine.allowance import Allowance
from headrace_executor.engine.frames import Frame, Site
from headrace_executor.engine.metrics import GAPS, NODE_RETRIES, NODE_SECONDS, NODES
from headrace_executor.engine.nodes import branch, compose, compute, data, flow, retrieve
from headrace_executor.engine.nodes import map as map_node
from headrace_executor.engine.nodes.attempt import Attempt, Parts, Result
from headrace_executor.engine.nodes.inside import Insides
from headrace_executor.engine.notices import Notices
from headrace_executor.engine.phases import Phases
from headrace_executor.engine.places import Hold, Places
from headrace_executor.engine.scheduler import run_graph
from headrace_executor.errors import LeaseLost, RunFailed
from headrace_executor.model import FailureCode, Json
from headrace_executor.ports import Event, Journal

KINDS: Mapping[str, Callable[[Attempt, Any], Awaitable[Result]]] = {
    "data": data.run,
    "retrieve": retrieve.run,
    "compute": compute.run,
    "compose": compose.run,
    "branch": branch.run,
    "map": map_node.run,
    "flow": flow.run,
}
"""What this engine can run: every kind of the language."""

RUNNABLE = frozenset(KINDS)
"""The kinds of `KINDS`, for `validation.validate`."""

CONTAINERS = frozenset({"map", "flow"})
"""Kinds that do nothing themselves: they hold no place, and have what time is left."""

NONE: Mapping[str, Json] = MappingProxyType({})

log = structlog.get_logger()


class NodeRunner:
    """Runs the nodes of one run for one owner of it, those of its maps and flows included."""

    def __init__(
        self, journal: Journal, parts: Parts, allowance: Allowance, *, flows: Mapping[str, Plan], phases: Phases
    ) -> None:
        """`flows` are the saved workflows that the run uses, by their ids."""
        self._journal = journal
        self._parts = parts
        self._allowance = allowance
        self._flows = flows
        self._phases = phases
        self._notices = Notices(journal, quiet_s=parts.limits.notice_s)
        limits = parts.limits
        replica = parts.replica or asyncio.Semaphore(limits.max_parallel_nodes_per_replica)
        self._places = Places(limits.max_parallel_nodes, replica=replica)
        self._tries: Counter[str] = Counter()
        self._under_way: dict[str, Attempt | None] = {}
        """Steps that readers see open, by path, with the attempt whose message may be."""

    async def graph(self, frame: Frame, *, left_out: frozenset[str] = frozenset()) -> None:
        """Run what is left of a frame but what is `left_out`, which nothing that runs needs. Raises `RunFailed`."""
        needs = {name: frame.plan.needs[name] for name in frame.plan.order if name not in left_out}

        async def one(name: str) -> None:
            await self.node(frame.site(name))

        await run_graph(needs, one, finished=frozenset(frame.scope.outputs))

    async def node(self, site: Site) -> Json:
        """Run one node whose needs are met and make its output visible. Raises `RunFailed`, which names the node."""
        record = self._journal.steps.get(site.step)
        if record is not None:
            return record.output
        if site.node.kind in CONTAINERS:
            return await self._step(site, None)
        async with self._places.hold() as hold:
            return await self._step(site, hold)

    async def _step(self, site: Site, hold: Hold | None) -> Json:
        self._allowance.begin(site.path)
        started = time.perf_counter()
        if site.is_top and (opening := self._phases.before(site.name)):
            self._journal.emit(*opening)
        self._under_way[site.path] = None
        output = await steps.once(self._journal, site.step, lambda: self._done(site, hold))
        NODE_SECONDS.labels(site.node.kind).observe(time.perf_counter() - started)
        return output

    async def _done(self, site: Site, hold: Hold | None) -> steps.Done:
        """Run the node, or leave a gap. What it has cost is the run's too when it fails or is cancelled."""
        bill = Bill()
        try:
            done = await self._result(site, bill, hold)
        except (LeaseLost, asyncio.CancelledError):
            self._journal.spent(bill.usage)
            raise
        except Exception as error:
            failure = self._failure(site, error)
            if site.node.on_error != "continue" or isinstance(failure, failures.RunOver) or _cancelled():
                self._journal.spent(bill.usage)
                NODES.labels(site.node.kind, "failed").inc()
                if failure is error:
                    raise
                raise failure from error
            done = self._gap(site, error if isinstance(error, RunFailed) else failure, bill)
        del self._under_way[site.path]  # it is recorded before anything else happens
        return done

    def _failure(self, site: Site, error: Exception) -> RunFailed:
        if isinstance(error, RunFailed):
            return failures.at_node(error, site.path)
        log.error("node_failed", node=site.path, kind=site.node.kind, exc_info=error)
        unexpected = RunFailed(FailureCode.INTERNAL, "it failed unexpectedly; the executor's log has the run's id.")
        return failures.at_node(unexpected, site.path)

    def _gap(self, site: Site, failure: RunFailed, bill: Bill) -> steps.Done:
        why = {"code": failure.failure.code.value, "message": failure.failure.message[: failures.MAX_GAP_CHARACTERS]}
        log.info("gap", node=site.path, kind=site.node.kind, code=why["code"])
        GAPS.labels(site.node.kind).inc()
        self._close_inside(site.path)
        told = events.custom("headrace.gap", {"step": site.step, **why})
        return self._kept(site, bill, Result(None, (told,)), "gap", {f"{steps.GAP}{site.step}": why})

    async def _result(self, site: Site, bill: Bill, hold: Hold | None) -> steps.Done:
        if not (self._is_chosen(site) and await self._holds(site, bill)):
            skipped = events.custom("headrace.skipped", {"step": site.step})
            return self._kept(site, bill, Result(None, (skipped,)), "skipped")
        result = await self._attempts(site, bill, hold)
        try:
            return self._kept(site, bill, result, "done")
        except RunFailed:
            self._journal.emit(*result.events)  # an output that is too large is not kept, and its message ends
            raise

    def _is_chosen(self, site: Site) -> bool:
        """Whether a branch that guards the node chose it, if any does. A branch that did not run chose nothing."""
        chosen = (site.scope.outputs[name] or {"then": ()} for name in site.guards)
        return not site.guards or any(site.name in one["then"] for one in chosen)

    async def _holds(self, site: Site, bill: Bill) -> bool:
        return site.node.when is None or await compute.holds(self._attempt(site, bill, number=1), site.node.when)

    def _kept(self, site: Site, bill: Bill, result: Result, how: str, beside: Mapping[str, Json] = NONE) -> steps.Done:
        """What is recorded of a node that has ended; its output is visible from here on."""
        size = self._allowance.size(result.output)
        self._allowance.keep(size)
        if site.is_whole:
            site.frame.scope.add(site.name, result.output, size)
        NODES.labels(site.node.kind, how).inc()
        told = (*result.events, *self._shown(site, result.output, how))
        after = self._phases.after(site.name) if site.is_top else ()
        return steps.Done(result.output, bill.usage, told, result.only_once, after, beside)

    def _shown(self, site: Site, output: Json, how: str) -> Sequence[Event]:
        """The changes of the page: a map's slots are filled by its items."""
        blueprint, max_bytes = site.frame.plan.blueprint, self._parts.limits.max_event_bytes
        if site.frame.prefix or (site.node.kind == "map" and how == "done"):
            return ()
        if site.index is None:
            return page.filled(blueprint, site.name, output, max_bytes=max_bytes)
        return () if output is None else page.item(blueprint, site.name, site.index, output, max_bytes=max_bytes)

    async def _attempts(self, site: Site, bill: Bill, hold: Hold | None) -> Result:
        """Try the node as often as its policy and the run's budget of retries allow."""
        node, limits = site.node, self._parts.limits
        attempts = node.retry.attempts if node.retry else limits.default_attempts.get(node.kind, 1)
        attempts = min(attempts, limits.max_node_attempts)
        for number in range(1, attempts + 1):
            self._tries[site.path] += 1
            attempt = self._attempt(site, bill, number=self._tries[site.path])
            self._under_way[site.path] = attempt
            try:
                return await self._once(attempt, site)
            except RunFailed as failure:
                pause_s = failures.asked_pause_s(failure)
                may_pass = failures.may_pass(failure, asked=node.retry is not None) and pause_s <= attempt.timeout_s
                if number == attempts or _cancelled() or not may_pass:
                    raise
                if not self._allowance.retry():
                    raise failures.not_repeated(failure, budget=limits.retry_budget) from failure
                self._close_inside(site.path)
                if attempt.message_id:
                    self._journal.emit(events.restarted(attempt.step, attempt.message_id))
            NODE_RETRIES.labels(node.kind).inc()
            log.info("node_retried", node=site.path, kind=node.kind, attempt=number)
            await self._back_off(site, number, hold, least_s=pause_s)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _back_off(self, site: Site, number: int, hold: Hold | None, *, least_s: float) -> None:
        """Wait, without a place, twice as long each time, half of it by chance, and not past the node's end."""
        limits = self._parts.limits
        first = min(site.node.retry.backoff_s if site.node.retry else limits.default_backoff_s, limits.max_node_backoff_s)
        delay = min(first * 2 ** (number - 1), limits.max_node_backoff_s) * (0.5 + self._parts.jitter() / 2)
        delay = min(max(least_s, delay), max(0.0, site.until - asyncio.get_running_loop().time()))
        if hold is None:
            await self._parts.sleep(delay)
        else:
            await hold.pause(delay, sleep=self._parts.sleep)

    async def _once(self, attempt: Attempt, site: Site) -> Result:
        timeout = asyncio.timeout_at(attempt.ends_at)
        try:
            async with timeout:
                return await KINDS[site.node.kind](attempt, site.node)
        except Exception as error:
            if attempt.message_id:
                self._journal.emit(events.text_end(attempt.message_id))
                self._under_way[site.path] = None
            ours = isinstance(error, TimeoutError) and timeout.expired()
            theirs = isinstance(error, RunFailed) and error.failure.code is FailureCode.DEADLINE
            if (ours or (theirs and attempt.inside is None)) and attempt.ends_at >= self._allowance.until:
                raise failures.late() from error
            if ours:
                text = f"it was not done within {attempt.timeout_s:.6g} s; give it a larger timeout_s or less to do."
                raise RunFailed(FailureCode.DEADLINE, text) from error
            raise

    def _attempt(self, site: Site, bill: Bill, *, number: int) -> Attempt:
        now, ends_at = asyncio.get_running_loop().time(), self._ends_at(site)
        return Attempt(
            self._journal,
            self._parts,
            site.scope,
            site.path,
            site.needs,
            number,
            ends_at - now,
            site.unblocks,
            self._notices.of(site.step),
            bill,
            ends_at=ends_at,
            rewrite=site.rewrite,
            inside=Insides(self, site, ends_at, self._journal, self._parts, self._allowance, self._flows)
            if site.node.kind in CONTAINERS
            else None,
        )

    def _ends_at(self, site: Site) -> float:
        limits, kind = self._parts.limits, site.node.kind
        own = site.node.timeout_s or limits.node_timeout_s.get(kind, math.inf)
        if kind not in CONTAINERS:
            own = min(own, limits.max_node_timeout_s)
        return min(site.until, asyncio.get_running_loop().time() + own)

    def _close_inside(self, path: str) -> None:
        """Close what readers see open inside a map or a flow that the run goes on without, or that begins anew."""
        inner = [one for one in self._under_way if one.startswith((f"{path}[", f"{path}/"))]
        for one in reversed(inner):
            attempt = self._under_way.pop(one)
            if attempt is not None and attempt.message_id:
                self._journal.emit(events.text_end(attempt.message_id), events.restarted(attempt.step, attempt.message_id))
            self._journal.emit(events.step_cut(f"node:{one}"))


def _cancelled() -> bool:
    """Whether this task is being cancelled: then a failure on the way out is neither a gap nor a reason to try again."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
