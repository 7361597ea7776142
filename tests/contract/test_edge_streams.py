"""Event streams through a real uvicorn: EventSource semantics, resumes, slow and absent readers, executors that die."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx_sse
import orjson
import pytest
from headrace_edge import metrics
from headrace_runtime import errors

from tests.support import edge_suite
from tests.support.edge_fakes import FakeRun, numbered
from tests.support.edge_suite import Suite, until


@pytest.fixture
async def edge() -> AsyncIterator[Suite]:
    async with edge_suite.suite() as one:
        yield one


async def start(edge: Suite, *, events: int = 0, size: int = 0, end: bool = False) -> FakeRun:
    """A run with RUN_STARTED and `events` more."""
    accepted = await edge.client.post("/api/tasks", json={"kind": "conversation", "message": "x"})
    run = edge.executor.runs[accepted.json()["run_id"]]
    await run.emit(*numbered(events, size=size))
    if end:
        await run.finish()
    return run


def path(run: FakeRun) -> str:
    return f"/api/tasks/{run.run.run_id}/events"


async def reset(sock: socket.socket) -> bool:
    """Read to the end: whether the other side reset the connection."""
    try:
        while await asyncio.get_running_loop().sock_recv(sock, 65536):
            continue
    except ConnectionResetError:
        return True
    return False


async def event_source(edge: Suite, url: str, *, limit: int | None = None, last: str = "") -> tuple[list[str], str, bool]:
    """One connection as a browser's EventSource makes it: (ids, last id, whether it may reconnect)."""
    headers = {"Last-Event-ID": last} if last else {}
    seen: list[str] = []
    async with httpx_sse.aconnect_sse(edge.client, "GET", url, headers=headers) as source:
        if source.response.status_code == 204:
            return seen, last, False
        assert source.response.status_code == 200
        async for event in source.aiter_sse():
            assert event.event == "message"
            orjson.loads(event.data)
            seen.append(event.id)
            last = event.id
            if limit is not None and len(seen) >= limit:
                break
    return seen, last, True


async def test_a_submitted_run_is_streamed_to_its_end_as_it_comes(edge: Suite) -> None:
    go = asyncio.Event()

    async def script(run: FakeRun) -> None:
        await go.wait()
        await run.emit(*numbered(20))
        await run.finish()

    edge.executor.script = script
    body = {"message": "hello"}
    async with httpx_sse.aconnect_sse(edge.client, "POST", "/api/conversation/stream", json=body) as source:
        headers = source.response.headers
        assert headers["content-type"].startswith("text/event-stream")
        assert headers["cache-control"] == "no-store"
        assert headers["x-accel-buffering"] == "no"
        (run,) = edge.executor.runs.values()
        assert headers["x-run-id"] == run.run.run_id
        assert run.body["execute"] is True
        ids: list[int] = []
        async for event in source.aiter_sse():
            if not ids:
                assert orjson.loads(event.data)["type"] == "RUN_STARTED"
                assert event.retry == 2000
                go.set()
            ids.append(int(event.id))
    assert ids == list(range(1, 23))
    await until(lambda: edge.streams == 0 and edge.executor.watchers == 0)


async def test_the_bytes_are_plain_sse_with_retry_once(edge: Suite) -> None:
    run = await start(edge, events=2, end=True)
    text = (await edge.client.get(path(run))).text
    lines = text.split("\n")
    assert lines[:2] == ["retry: 2000", "id: 1"]
    assert text.count("retry:") == 1
    assert "event:" not in text
    blocks = [block for block in text.removeprefix("retry: 2000\n").split("\n\n") if block]
    assert [block.split("\n")[0] for block in blocks] == [f"id: {n}" for n in range(1, 5)]
    assert all(len(block.split("\n")) == 2 for block in blocks)


async def test_the_header_wins_and_events_after_it_come(edge: Suite) -> None:
    run = await start(edge, events=8, end=True)
    seen, _, _ = await event_source(edge, path(run) + "?after=2", last="7")
    assert seen == ["8", "9", "10"]
    seen, _, _ = await event_source(edge, path(run) + "?after=9")
    assert seen == ["10"]


async def test_an_event_source_that_has_everything_is_told_to_stop(edge: Suite) -> None:
    run = await start(edge, events=3, end=True)
    seen, last, again = await event_source(edge, path(run))
    assert (seen, again) == (["1", "2", "3", "4", "5"], True)
    assert await event_source(edge, path(run), last=last) == ([], last, False)
    assert (await edge.client.get(path(run), headers={"Last-Event-ID": "99"})).status_code == 204


@pytest.mark.parametrize("value", ["abc", "-1", "1.5", "9" * 40])
async def test_a_position_that_is_no_number_is_400(edge: Suite, value: str) -> None:
    run = await start(edge)
    for response in (
        await edge.client.get(path(run), headers={"Last-Event-ID": value}),
        await edge.client.get(path(run), params={"after": value}),
    ):
        assert response.status_code == 400
        assert response.headers["content-type"] == "application/problem+json"


async def test_a_log_that_is_gone_is_410_and_too_many_watchers_429(edge: Suite) -> None:
    run = await start(edge)
    edge.executor.watch_error = errors.DataLoss("the log is gone")
    assert (await edge.client.get(path(run))).status_code == 410
    edge.executor.watch_error = errors.ResourceExhausted("too many watchers", retry_after_s=1)
    refused = await edge.client.get(path(run))
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert edge.streams == 0


async def test_two_watchers_of_one_run_see_the_same(edge: Suite) -> None:
    run = await start(edge, events=5)
    both = [asyncio.create_task(event_source(edge, path(run))) for _ in range(2)]
    await until(lambda: edge.executor.watchers == 2)
    await run.emit(*numbered(5))
    await run.finish()
    first, second = [await one for one in both]
    assert first == second
    assert len(first[0]) == 12


async def test_silence_is_broken_by_comments() -> None:
    async with edge_suite.suite(heartbeat_s=0.2, stream_open_s=0.05) as edge:
        run = await start(edge)
        got = b""
        async with edge.client.stream("GET", path(run), params={"after": 1}) as response:
            async for chunk in response.aiter_raw():
                got += chunk
                if got.count(b"\n:\n") >= 2:
                    break
        assert got.startswith(b"retry: 2000\n:\n:\n")


async def test_a_reader_who_leaves_costs_nothing_more(edge: Suite) -> None:
    run = await start(edge)
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(f"GET {path(run)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    await reader.readuntil(b"id: 1\n")
    await until(lambda: edge.executor.watchers == 1 and edge.streams == 1)
    writer.transport.abort()
    await until(lambda: edge.executor.watchers == 0 and edge.streams == 0, seconds=5)
    assert metrics.STREAMS._value.get() == 0


async def test_a_slow_reader_is_closed_and_may_resume() -> None:
    async with edge_suite.suite(stream_send_timeout_s=0.5) as edge:
        edge.executor.batch = 10
        run = await start(edge, events=2000, size=20_000, end=True)
        before = metrics.SLOW_READERS._value.get()
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", edge.port))
        await loop.sock_sendall(sock, f"GET {path(run)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await until(lambda: metrics.SLOW_READERS._value.get() == before + 1)
        await until(lambda: edge.streams == 0 and edge.executor.watchers == 0)
        assert await reset(sock)
        sock.close()
        seen, _, _ = await event_source(edge, path(run), last="1990")
        assert seen == [str(n) for n in range(1991, 2003)]


async def test_a_paused_reader_holds_the_executor_back_and_loses_nothing(edge: Suite) -> None:
    edge.executor.batch = 5
    run = await start(edge, events=1000, size=20_000, end=True)
    ids: list[int] = []
    async with httpx_sse.aconnect_sse(edge.client, "GET", path(run)) as source:
        async for event in source.aiter_sse():
            if not ids:
                await asyncio.sleep(0.5)
                assert edge.executor.watchers == 1
            ids.append(int(event.id))
    assert ids == list(range(1, 1003))


async def test_a_stream_whose_start_was_lost_is_of_the_run_that_it_made(edge: Suite) -> None:
    edge.executor.lose_answers = 6
    edge.executor.script = lambda run: run.finish()

    answer = await edge.client.post("/api/conversation/stream", json={"message": "x"})

    assert list(edge.executor.runs) == [answer.headers["x-run-id"]]
    assert "RUN_FINISHED" in answer.text


async def test_an_executor_that_dies_is_a_pause_and_nothing_else(edge: Suite) -> None:
    run = await start(edge, events=5)
    watching = asyncio.create_task(event_source(edge, path(run)))
    await until(lambda: edge.executor.watchers == 1)
    for _ in range(2):
        await edge.executor_part.kill()
        await run.emit(*numbered(5))
        await edge.executor_part.start()
        await until(lambda: edge.executor.watchers == 1)
    await run.finish()
    seen, _, _ = await watching
    assert seen == [str(n) for n in range(1, 18)]


async def test_streams_that_break_after_any_batch_are_picked_up(edge: Suite) -> None:
    edge.executor.batch = 3
    edge.executor.breaks = [0, 1, 0, 2, 1, 3]
    run = await start(edge, events=40, end=True)
    seen, _, _ = await event_source(edge, path(run))
    assert seen == [str(n) for n in range(1, 43)]
    assert edge.executor.breaks == []


async def test_a_stream_whose_executor_stays_away_ends_and_can_be_resumed() -> None:
    async with edge_suite.suite(watch_retry_s=0.3) as edge:
        run = await start(edge, events=3)
        watching = asyncio.create_task(event_source(edge, path(run)))
        await until(lambda: edge.executor.watchers == 1)
        await edge.executor_part.kill()
        seen, last, again = await watching
        assert (seen, again) == (["1", "2", "3", "4"], True)
        await edge.executor_part.start()
        await run.finish()
        assert (await event_source(edge, path(run), last=last))[0] == ["5"]


async def test_watches_are_renewed_without_the_readers_notice() -> None:
    async with edge_suite.suite(watch_max_s=0.3) as edge:
        run = await start(edge)
        renewals = metrics.REWATCHES.labels("renewal")
        before = renewals._value.get()
        watching = asyncio.create_task(event_source(edge, path(run)))
        await until(lambda: renewals._value.get() >= before + 2)
        await run.emit(*numbered(2))
        await run.finish()
        assert (await watching)[0] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("seed", range(4))
async def test_readers_who_leave_and_rejoin_at_random_have_each_event_once_in_order(edge: Suite, seed: int) -> None:
    chance = random.Random(seed)
    edge.executor.batch = chance.choice([1, 3, 50])
    edge.executor.breaks = [chance.randrange(4) for _ in range(30)]
    total = 60

    async def reader(run: FakeRun, dice: random.Random) -> list[str]:
        have: list[str] = []
        last, again = "", True
        while again:
            limit = dice.choice([1, 2, 7, 30, None])
            seen, last, again = await event_source(edge, path(run), limit=limit, last=last)
            have += seen
        return have

    async def writer(run: FakeRun) -> None:
        left = total
        while left:
            count = min(left, chance.randrange(1, 9))
            await run.emit(*numbered(count))
            left -= count
            await asyncio.sleep(chance.random() / 50)
        await run.finish()

    runs = [await start(edge) for _ in range(3)]
    results = await asyncio.gather(
        *(reader(run, random.Random(f"{seed}-{n}")) for run in runs for n in range(4)), *(writer(run) for run in runs)
    )
    for have in results[:12]:
        assert have == [str(n) for n in range(1, total + 3)]
    await until(lambda: edge.streams == 0 and edge.executor.watchers == 0)


async def test_open_streams_are_bounded_and_refused_before_a_run_is_made() -> None:
    async with edge_suite.suite(max_streams=2) as edge:
        run = await start(edge)
        held = [asyncio.create_task(event_source(edge, path(run))) for _ in range(2)]
        await until(lambda: edge.streams == 2)
        submits = edge.executor.submits
        refused = await edge.client.post("/api/conversation/stream", json={"message": "x"})
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert edge.executor.submits == submits
        assert (await edge.client.get("/api/health/live")).status_code == 200
        await run.finish()
        await asyncio.gather(*held)
        await until(lambda: edge.streams == 0)


async def test_the_same_key_streams_the_same_run_from_its_start(edge: Suite) -> None:
    async def script(run: FakeRun) -> None:
        await run.emit(*numbered(3))
        await run.finish()

    edge.executor.script = script
    texts: list[Any] = []
    for _ in range(2):
        response = await edge.client.post(
            "/api/conversation/stream", json={"message": "x"}, headers={"Idempotency-Key": "one"}
        )
        texts.append(response.text)
    assert texts[0] == texts[1]
    assert len(edge.executor.runs) == 1
