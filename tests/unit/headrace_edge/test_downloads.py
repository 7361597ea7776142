"""Downloads: sent while somebody reads."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from headrace_edge import metrics
from headrace_edge.downloads import Download
from headrace_runtime import errors


class Client:
    """Reads, and leaves when it is told to."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.leaves = asyncio.Event()
        self._asked = False

    async def receive(self) -> Any:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)


class Source:
    """Gives pieces, and then nothing more without an end."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces
        self.given = asyncio.Event()
        self.closed = asyncio.Event()

    async def read(self) -> AsyncGenerator[bytes, None]:
        try:
            for piece in self._pieces:
                yield piece
            self.given.set()
            await asyncio.Event().wait()
        finally:
            self.closed.set()


def download(pieces: AsyncGenerator[bytes, None]) -> Download:
    return Download(pieces, send_timeout_s=60, max_bytes=1000)


@pytest.mark.parametrize("pieces", [(), (b"[1",)], ids=["before the first piece", "half way"])
async def test_nothing_more_is_asked_for_when_the_client_has_left(pieces: tuple[bytes, ...]) -> None:
    client, source = Client(), Source(*pieces)
    before = metrics.DOWNLOADS_BROKEN.labels("reader_gone")._value.get()
    serving = asyncio.create_task(download(source.read())({"type": "http"}, client.receive, client.send))
    await source.given.wait()
    client.leaves.set()
    async with asyncio.timeout(30):
        await serving
    assert source.closed.is_set()
    assert metrics.DOWNLOADS_BROKEN.labels("reader_gone")._value.get() == before + 1


async def test_a_request_that_is_cancelled_closes_its_source() -> None:
    client, source = Client(), Source(b"[1")
    serving = asyncio.create_task(download(source.read())({"type": "http"}, client.receive, client.send))
    await source.given.wait()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert source.closed.is_set()


async def test_who_stays_is_sent_all_and_what_fails_before_is_raised() -> None:
    async def whole() -> AsyncGenerator[bytes, None]:
        yield b"[1,"
        yield b"2]"

    async def none() -> AsyncGenerator[bytes, None]:
        raise errors.NotFound("no such step")
        yield b""

    client = Client()
    await download(whole())({"type": "http"}, client.receive, client.send)
    assert b"".join(one.get("body", b"") for one in client.sent) == b"[1,2]"
    with pytest.raises(errors.NotFound):
        await download(none())({"type": "http"}, Client().receive, client.send)
