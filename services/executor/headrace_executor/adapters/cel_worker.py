"""Expressions that may not end, evaluated in processes that can be killed. Implements `ports.Cel`.

The CEL engine holds its interpreter while it runs and has no cost limit. A worker that is late, or left in the middle of a
request, is killed. Where one has ended another starts at once, so that the next expression need not wait for it.
"""

import asyncio
import sys
from collections.abc import Mapping
from contextlib import suppress

import orjson
import structlog

from headrace_executor.adapters.cel_process import LENGTH
from headrace_executor.engine.metrics import CEL_KILLED, CEL_REFUSED, CEL_WORKERS
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode, Json

Process = asyncio.subprocess.Process

WORKERS = 2
DEADLINE_S = 1.0
"""How long one expression may take."""
START_S = 10.0
"""How long a worker may take to start: it imports the language."""
RESTART_S = 1.0
"""Least time between two starts in one place, should its workers not live."""
WAIT_S = 30.0
"""How long an expression may wait for a worker."""
MAX_WAITING = 64
"""Expressions that may wait for a worker; more are refused."""
MAX_ANSWER_BYTES = 1024 * 1024
_ALARM_AFTER = 2.0
"""A worker ends itself after this many deadlines, should the executor have died."""


log = structlog.get_logger()


class CelWorkers:
    """A pool of workers: `begin` and `fill` start them, `close` ends them."""

    def __init__(
        self,
        *,
        workers: int = WORKERS,
        deadline_s: float = DEADLINE_S,
        max_waiting: int = MAX_WAITING,
        wait_s: float = WAIT_S,
    ) -> None:
        self._workers = workers
        self._deadline_s = deadline_s
        self._wait_s = wait_s
        self._free_to_wait = max_waiting + workers
        self._places: list[asyncio.Task[None]] = []
        self._ready: set[Process] = set()
        self._idle: asyncio.Queue[Process] = asyncio.Queue()

    @property
    def processes(self) -> frozenset[Process]:
        """The workers that are ready, busy or not."""
        return frozenset(self._ready)

    async def begin(self) -> None:
        """Start the first worker, so that what keeps it from starting is known early. Raises `RunFailed`."""
        self._places.append(asyncio.create_task(self._keep(await self._start())))

    def fill(self) -> None:
        """Start the others in the background; returns at once. Before, they would only delay the service's own start."""
        for _ in range(len(self._places), self._workers):
            self._places.append(asyncio.create_task(self._keep()))

    async def evaluate(self, expression: str, scope: Mapping[str, Json]) -> Json:
        """Evaluate in a worker within the deadline. Raises `RunFailed`."""
        if not self._free_to_wait:
            CEL_REFUSED.inc()
            raise RunFailed(FailureCode.INTERNAL, "too many expressions wait for a worker; submit the run again later.")
        request = orjson.dumps({"source": expression, "scope": scope})
        self._free_to_wait -= 1
        try:
            answer = await self._ask(request)
        finally:
            self._free_to_wait += 1
        if "failed" in answer:
            raise RunFailed(FailureCode.INVALID_BLUEPRINT, f"the expression failed: {answer['failed']}.")
        return answer["value"]

    async def close(self) -> None:
        """Kill every worker and wait until they have gone."""
        for place in self._places:
            place.cancel()
        await asyncio.gather(*self._places, return_exceptions=True)
        for process in self._ready:
            await _kill(process, "closed")

    async def _ask(self, request: bytes) -> Mapping[str, Json]:
        process = await self._worker()
        cause = "cancelled"
        try:
            async with asyncio.timeout(self._deadline_s):
                answer = await _exchange(process, request)
        except TimeoutError as error:
            cause = "deadline"
            text = f"the expression was not evaluated within {self._deadline_s:g} s; loop over less."
            raise RunFailed(FailureCode.INVALID_BLUEPRINT, text) from error
        except (OSError, EOFError, orjson.JSONDecodeError) as error:
            cause = "died"
            text = "the expression's worker ended; it may need too much memory."
            raise RunFailed(FailureCode.INVALID_BLUEPRINT, text) from error
        else:
            cause = ""
            self._idle.put_nowait(process)
            return answer
        finally:
            if cause:
                await _kill(process, cause)

    async def _worker(self) -> Process:
        """The worker that has been idle longest, or the first to be. Raises `RunFailed`."""
        try:
            async with asyncio.timeout(self._wait_s):
                while (process := await self._idle.get()).returncode is not None:
                    pass  # it has ended this moment, and its place is about to notice
        except TimeoutError as error:
            CEL_REFUSED.inc()
            text = f"no worker for expressions was free for {self._wait_s:g} s; submit the run again later."
            raise RunFailed(FailureCode.INTERNAL, text) from error
        return process

    async def _keep(self, process: Process | None = None) -> None:
        """Keep a worker in one place, `process` for the first, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            try:
                process = process or await self._start()
                self._idle.put_nowait(process)
                await process.wait()
                self._forget(process)
            except RunFailed as failed:
                log.error("cel_worker_not_started", error=repr(failed.__cause__))
            process = None
            await asyncio.sleep(started + RESTART_S - loop.time())

    def _forget(self, process: Process) -> None:
        self._ready.discard(process)
        CEL_WORKERS.set(len(self._ready))
        for _ in range(self._idle.qsize()):
            one = self._idle.get_nowait()
            if one is not process:
                self._idle.put_nowait(one)

    async def _start(self) -> Process:
        try:
            async with asyncio.timeout(START_S):
                process = await _process(alarm_s=self._deadline_s * _ALARM_AFTER)
        except (TimeoutError, OSError, EOFError) as error:
            raise RunFailed(FailureCode.INTERNAL, "no worker for expressions could be started; see its log.") from error
        self._ready.add(process)
        CEL_WORKERS.set(len(self._ready))
        return process


async def _process(*, alarm_s: float) -> Process:
    """A worker that has answered once. Raises OSError and EOFError."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "headrace_executor.adapters.cel_process",
        str(alarm_s),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # a signal to the terminal's group is the executor's to handle
    )
    try:
        await _exchange(process, orjson.dumps({"source": "true", "scope": {}}))
    except BaseException:
        await _kill(process, "start")
        raise
    return process


async def _kill(process: Process, cause: str) -> None:
    CEL_KILLED.labels(cause).inc()
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def _exchange(process: Process, request: bytes) -> Mapping[str, Json]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(LENGTH.pack(len(request)) + request)
    await process.stdin.drain()
    size = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))[0]
    if size > MAX_ANSWER_BYTES:
        raise EOFError(f"an answer of {size} bytes")
    answer: Mapping[str, Json] = orjson.loads(await process.stdout.readexactly(size))
    return answer
