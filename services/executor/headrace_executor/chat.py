"""Chats: calls of one model for one client, bounded in number, their text batched, their cost told."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from functools import partial

from headrace_llm.client import ChatRequest, Completion, Restarted
from headrace_runtime import errors

from headrace_executor import metrics
from headrace_executor.ports import ChatLedger, Models

MAX_AHEAD = 256
"""Pieces of an answer that are held for a reader who is slower than the model; then the model's stream waits."""
RETRY_S = 2.0
"""When to come back while all places are taken."""

Item = str | Restarted | Completion


class Chats:
    """Asks models for clients. One for a process."""

    def __init__(self, models: Models, ledger: ChatLedger, *, limit: int, text_delay_s: float) -> None:
        self._models = models
        self._ledger = ledger
        self._limit = limit
        self._text_delay_s = text_delay_s
        self._open = 0
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one of the places. Raises ResourceExhausted when all are taken, Unavailable when this process ends."""
        if self._draining:
            raise errors.Unavailable("this executor is stopping; try again", reason="DRAINING")
        if self._open >= self._limit:
            metrics.CHATS_REFUSED.inc()
            text = f"{self._limit} chats are open at this executor; none can wait"
            raise errors.ResourceExhausted(text, reason="TOO_MANY_CHATS", retry_after_s=RETRY_S)
        self._open += 1
        self._idle.clear()
        metrics.CHATS.set(self._open)
        try:
            yield
        finally:
            self._open -= 1
            metrics.CHATS.set(self._open)
            if not self._open:
                self._idle.set()

    async def drain(self) -> None:
        """Take no more chats and wait until those that are open have ended."""
        self._draining = True
        await self._idle.wait()

    async def ask(self, request: ChatRequest) -> AsyncGenerator[Item, None]:
        """The answer in pieces that follow each other no faster than `text_delay_s`; the last item is the Completion.

        Closing it aborts the call. Raises what the model client raises.
        """
        outcome = "cancelled"
        request = replace(request, on_cost=partial(self._ledger.record, request.tenant_id))
        try:
            async with aclosing(_batched(self._models.stream(request), delay_s=self._text_delay_s)) as items:
                async for item in items:
                    if isinstance(item, Completion):
                        outcome = "ok"
                    yield item
        except errors.ServiceError as error:
            outcome = error.reason.lower()
            raise
        finally:
            metrics.CHATS_ENDED.labels(outcome).inc()


async def _batched(stream: AsyncIterator[Item], *, delay_s: float) -> AsyncGenerator[Item, None]:
    """The stream with neighbouring texts joined: what comes within `delay_s` after a text leaves together."""
    ahead: asyncio.Queue[Item | Exception] = asyncio.Queue(MAX_AHEAD)
    reader = asyncio.create_task(_read(stream, ahead), name="chat")
    try:
        while True:
            item: Item | Exception | None = await ahead.get()
            texts: list[str] = []
            while isinstance(item, str):
                texts.append(item)
                item = None if ahead.empty() else ahead.get_nowait()
            if texts:
                yield "".join(texts)
            if item is None:
                await asyncio.sleep(delay_s)
                continue
            if isinstance(item, Exception):
                raise item
            yield item
            if isinstance(item, Completion):
                return
    finally:
        reader.cancel()
        await asyncio.wait({reader})


async def _read(stream: AsyncIterator[Item], into: "asyncio.Queue[Item | Exception]") -> None:
    """Read a stream to its end in a task of its own; what it raises is its last item."""
    try:
        async with aclosing(stream):  # type: ignore[type-var]
            async for item in stream:
                await into.put(item)
        raise errors.InternalError("the model client's stream has no end")
    except Exception as error:  # noqa: BLE001 - raised where the items are read
        await into.put(error)
