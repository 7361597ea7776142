"""Expressions that may not end, evaluated in processes that can be killed. Implements `ports.Cel`.

The CEL engine holds its interpreter while it runs and has no cost limit. The first worker starts with the service, others
when they are needed, at most `workers` at once; one that is late, dead or left in the middle of a request is killed, and
the next request starts another.
"""

import asyncio
import sys
from collections.abc import Mapping
from contextlib import suppress

import orjson

from headrace_executor.adapters.cel_process import LENGTH
from headrace_executor.engine.metrics import CEL_KILLED, CEL_REFUSED
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode, Json

WORKERS = 2
DEADLINE_S = 1.0
"""How long one expression may take."""
START_S = 10.0
"""How long a worker may take to start: it imports the language."""
MAX_WAITING = 64
"""Expressions that may wait for a worker; more are refused."""
MAX_ANSWER_BYTES = 1024 * 1024
_ALARM_AFTER = 2.0
"""A worker ends itself after this many deadlines, should the executor have died."""


class CelWorkers:
    """A pool of workers, closed by `close`."""

    def __init__(self, *, workers: int = WORKERS, deadline_s: float = DEADLINE_S, max_waiting: int = MAX_WAITING) -> None:
        self._places = asyncio.Semaphore(workers)
        self._deadline_s = deadline_s
        self._free_to_wait = max_waiting + workers
        self._idle: list[asyncio.subprocess.Process] = []
        self._alive: set[asyncio.subprocess.Process] = set()

    @property
    def processes(self) -> frozenset[asyncio.subprocess.Process]:
        """The workers that are alive."""
        return frozenset(self._alive)

    async def begin(self) -> None:
        """Start the first worker: no run has to wait for that, and what keeps it from starting is known early.

        Raises `RunFailed`.
        """
        async with self._places:
            self._idle.append(await self._start())

    async def evaluate(self, expression: str, scope: Mapping[str, Json]) -> Json:
        """Evaluate in a worker within the deadline. Raises `RunFailed`."""
        if not self._free_to_wait:
            CEL_REFUSED.inc()
            raise RunFailed(FailureCode.INTERNAL, "too many expressions wait for a worker; submit the run again later.")
        request = orjson.dumps({"source": expression, "scope": scope})
        self._free_to_wait -= 1
        try:
            async with self._places:
                answer = await self._ask(request)
        finally:
            self._free_to_wait += 1
        if "failed" in answer:
            raise RunFailed(FailureCode.INVALID_BLUEPRINT, f"the expression failed: {answer['failed']}.")
        return answer["value"]

    async def close(self) -> None:
        """Kill every worker and wait until they have gone."""
        for process in tuple(self._alive):
            await self._kill(process, "closed")

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
            self._idle.append(process)
            return answer
        finally:
            if cause:
                await self._kill(process, cause)

    async def _worker(self) -> asyncio.subprocess.Process:
        while self._idle:
            process = self._idle.pop()
            if process.returncode is None:
                return process
            self._alive.discard(process)
        return await self._start()

    async def _start(self) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "headrace_executor.adapters.cel_process",
            str(self._deadline_s * _ALARM_AFTER),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # a signal to the terminal's group is the executor's to handle
        )
        self._alive.add(process)
        ready = False
        try:
            async with asyncio.timeout(START_S):
                await _exchange(process, orjson.dumps({"source": "true", "scope": {}}))
            ready = True
        except (TimeoutError, OSError, EOFError) as error:
            raise RunFailed(FailureCode.INTERNAL, "no worker for expressions could be started; see its log.") from error
        finally:
            if not ready:
                await self._kill(process, "start")
        return process

    async def _kill(self, process: asyncio.subprocess.Process, cause: str) -> None:
        self._alive.discard(process)
        CEL_KILLED.labels(cause).inc()
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _exchange(process: asyncio.subprocess.Process, request: bytes) -> Mapping[str, Json]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(LENGTH.pack(len(request)) + request)
    await process.stdin.drain()
    size = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))[0]
    if size > MAX_ANSWER_BYTES:
        raise EOFError(f"an answer of {size} bytes")
    answer: Mapping[str, Json] = orjson.loads(await process.stdout.readexactly(size))
    return answer
