"""Where calls of a run stand at the gate, in Redis: the process that they wait in writes, whoever has the run reads."""

import asyncio

import orjson
import redis.asyncio
import structlog
from redis import exceptions

from headrace_llm.client import Wait

PREFIX = "headrace:waits:"
"""Of every key; the rest is the run."""
KEPT_MS = 2_500
"""How long a standing counts: it is told about once a second, so one is left out when a process was held up."""
MOST_NOTED = 1024
"""Runs whose standings wait to be written; those of more are left out until a second later."""

_FAILURES = (exceptions.RedisError, OSError, TimeoutError)

log = structlog.get_logger()


class RedisWaits:
    """Implements `ports.Waits`. What Redis does not take or tell is unknown, and nobody waits for it."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        """`client` bounds how long each question may take."""
        self._client = client
        self._noted: dict[str, Wait] = {}
        self._writing: asyncio.Task[None] | None = None

    @property
    def writing(self) -> bool:
        """Whether something that was noted is not written yet."""
        return self._writing is not None and not self._writing.done()

    def note(self, run_id: str, wait: Wait) -> None:
        """See `ports.Waits`."""
        known = self._noted.get(run_id)
        if known is None and len(self._noted) >= MOST_NOTED:
            return
        if known is None or wait.position < known.position:
            self._noted[run_id] = wait
        if not self.writing:
            self._writing = asyncio.create_task(self._write(), name="gate waits")

    async def of_run(self, run_id: str) -> Wait | None:
        """See `ports.Waits`."""
        try:
            found = await self._client.get(PREFIX + run_id)
        except _FAILURES as error:
            log.info("wait_unknown", run_id=run_id, error=type(error).__name__)
            return None
        if found is None:
            return None
        position, expected_s, waited_s = orjson.loads(found)
        return Wait(position, expected_s, waited_s)

    async def close(self) -> None:
        """Write no more."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait({self._writing})

    async def _write(self) -> None:
        """Write what was noted, together, until nothing is left."""
        while self._noted:
            noted, self._noted = self._noted, {}
            try:
                async with self._client.pipeline(transaction=False) as pipeline:
                    for run_id, wait in noted.items():
                        value = orjson.dumps((wait.position, wait.expected_s, wait.waited_s))
                        pipeline.set(PREFIX + run_id, value, px=KEPT_MS)
                    await pipeline.execute()
            except _FAILURES as error:
                log.info("waits_not_told", runs=len(noted), error=type(error).__name__)
