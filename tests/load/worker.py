"""One of the calling processes: `python -m tests.load.worker ORDERS`. It says "ready", and begins at the time it reads."""

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import structlog
import uvloop
from headrace_llm.errors import Throttled
from headrace_runtime import errors

from tests.load import clients
from tests.load.traffic import Current, Flow, Orders, Record, arrivals

LEAVES_AFTER_S = 1.0
"""How long past its deadline a caller still waits; an answer that comes then is useful to nobody."""


async def work(orders: Orders) -> None:
    """Offer the calls and write down what becomes of them."""
    async with clients.client(orders) as call:
        print("ready", flush=True)
        begin = float(await asyncio.to_thread(sys.stdin.readline))
        with Path(orders.out).open("w", buffering=1) as out:
            await _offer(orders, call, begin, out)


async def _offer(orders: Orders, call: clients.Call, begin: float, out: TextIO) -> None:
    running: set[asyncio.Task[None]] = set()
    for due, flow in arrivals(orders):
        await asyncio.sleep(max(0.0, begin + due - time.time()))
        one = asyncio.create_task(_one(call, flow, out))
        running.add(one)
        one.add_done_callback(running.discard)
    await asyncio.sleep(max(0.0, begin + orders.seconds - time.time()))
    if not orders.drain:
        for one in running:
            one.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def _one(call: clients.Call, flow: Flow, out: TextIO) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    record = Record(flow.name, time.time())
    clients.current.set(Current(record, started))
    try:
        with _named(record):
            async with asyncio.timeout(flow.deadline_s + LEAVES_AFTER_S):
                await call(flow)
            record.outcome = "useful" if loop.time() - started <= flow.deadline_s else "late"
    finally:
        record.seconds = loop.time() - started
        out.write(record.to_json() + "\n")


@contextmanager
def _named(record: Record) -> Iterator[None]:
    """Say how a call failed."""
    try:
        yield
    except errors.ResourceExhausted as error:  # from an executor it has its reason only
        record.outcome = "throttled" if error.reason == Throttled.default_reason else "refused"
    except errors.DeadlineExceeded:
        record.outcome = "late"
    except TimeoutError:
        record.outcome = "left"
    except Exception as error:  # whatever LiteLLM raises
        record.outcome = "throttled" if "RateLimit" in type(error).__name__ else "failed"
        record.detail = f"{type(error).__name__}: {error}"[:300]


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    uvloop.run(work(Orders.of(sys.argv[1])))
