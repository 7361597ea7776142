"""MCP servers that misbehave: that answer with too much, with nothing, with something else, that never end or always do."""

import asyncio
import dataclasses
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import mcp_types as mcp
import psutil
import pytest
import structlog
from headrace_tools.adapters import mcp_results, mcp_transports
from headrace_tools.errors import ToolFailed
from headrace_tools.limits import DEFAULT_RESPONSE_BYTES, MAX_SKIPPED_SHOWN, MAX_TOOLS
from headrace_tools.ports import Toolbox
from prometheus_client import REGISTRY

from tests.support import mcp_odd_server
from tests.support.tool_servers import QUICK, toolbox

LONG_S = 60.0


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG_S):
        while not condition():
            await asyncio.sleep(0.01)


def _metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def _odd(folder: Path, way: str, *, limits: Any = QUICK, **settings: Any) -> AbstractAsyncContextManager[Toolbox]:
    command = [sys.executable, str(mcp_odd_server.__file__), way, str(folder)]
    entry = {"kind": "mcp", "command": command, "timeout_s": 60, **settings}
    return toolbox(folder, {"connectors": {"odd": entry}}, limits=limits, environment={"KEY": "s3cret-t0ken"})


async def _call(opened: Toolbox, tool: str, **arguments: Any) -> Any:
    return await opened.call("t", f"odd.{tool}", arguments, deadline_s=LONG_S)


async def _fails(called: Awaitable[Any]) -> ToolFailed:
    with pytest.raises(ToolFailed) as raised:
        await called
    return raised.value


def _starts(folder: Path) -> list[int]:
    """The processes that were started, in their order."""
    file = folder / "starts"
    return [int(line.split()[0]) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.mark.parametrize("way", ["", "id last"])
async def test_an_answer_that_is_too_long_fails_alone(tmp_path: Path, way: str) -> None:
    async with _odd(tmp_path, "plain") as opened:
        await _until(lambda: bool(opened.tools("t")))
        first = await _call(opened, "pid")
        before = _metric("headrace_tools_oversized_messages_total", connector="odd")
        error = await _fails(_call(opened, "answer", size=30_000_000, way=way))
        assert (error.reason, _metric("headrace_tools_oversized_messages_total", connector="odd") - before) == (
            "too_large",
            1,
        )
        assert "max_response_bytes" in str(error)
        assert len(await _call(opened, "answer", size=900_000, way=way)) == 900_000
        assert await _call(opened, "pid") == first


async def test_a_long_answer_is_not_kept(tmp_path: Path) -> None:
    """The executor has 512 MiB, and many servers."""
    process = psutil.Process()
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, process.memory_info().rss)
            await asyncio.sleep(0.005)

    async with _odd(tmp_path, "plain") as opened:
        await _until(lambda: bool(opened.tools("t")))
        before = process.memory_info().rss
        watching = asyncio.create_task(watch())
        assert (await _fails(_call(opened, "answer", size=60 * 1024 * 1024))).reason == "too_large"
        watching.cancel()
    assert most - before < 30 * 1024 * 1024


@pytest.mark.parametrize("way", ["no id", "as a request"])
async def test_a_long_message_that_answers_nothing_known_ends_the_session(tmp_path: Path, way: str) -> None:
    async with _odd(tmp_path, "plain", retries=0) as opened:
        await _until(lambda: bool(opened.tools("t")))
        assert (await _fails(_call(opened, "answer", size=2_000_000, way=way))).reason == "away"
        assert await _again(opened) != _starts(tmp_path)[0]


async def test_a_line_that_never_ends_ends_the_session(tmp_path: Path) -> None:
    async with _odd(tmp_path, "plain", retries=0) as opened:
        await _until(lambda: bool(opened.tools("t")))
        assert (await _fails(_call(opened, "endless"))).reason == "away"
        assert await _again(opened) != _starts(tmp_path)[0]


async def _again(opened: Toolbox) -> int:
    """The process that answers, once one does."""
    async with asyncio.timeout(LONG_S):
        while True:
            try:
                return int(await _call(opened, "pid"))
            except ToolFailed as error:
                if error.reason != "away":
                    raise


async def test_lines_that_are_no_messages_are_passed_over_until_they_are_too_many(tmp_path: Path) -> None:
    async with _odd(tmp_path, "plain", retries=0) as opened:
        await _until(lambda: bool(opened.tools("t")))
        first = int(await _call(opened, "pid"))
        assert await _call(opened, "say", size=mcp_transports.MAX_GARBAGE - 1) == "said"
        assert int(await _call(opened, "pid")) == first
        assert (await _fails(_call(opened, "say", size=mcp_transports.MAX_GARBAGE))).reason == "away"
        assert await _again(opened) != first


@pytest.mark.parametrize("way", ["garbage", "quitting", "silent"])
async def test_a_server_that_never_answers_is_started_again_with_pauses_and_never_twice_at_once(
    tmp_path: Path, way: str
) -> None:
    limits = dataclasses.replace(QUICK, start_timeout_s=0.05, connect_timeout_s=0.2, opening_s=0.3)
    failed = _metric("headrace_tools_connects_total", connector="odd", outcome="failed")
    async with _odd(tmp_path, way, limits=limits) as opened:
        await _until(lambda: len(_starts(tmp_path)) >= 3)
        assert opened.tools("t") == {}
        assert _metric("headrace_tools_connects_total", connector="odd", outcome="failed") - failed >= 2
        assert (await _fails(_call(opened, "pid"))).reason == "away"
        assert all(not psutil.pid_exists(pid) for pid in _starts(tmp_path)[:-1])
    assert all(not psutil.pid_exists(pid) for pid in _starts(tmp_path))


async def test_a_server_that_does_not_even_read_is_ended(tmp_path: Path) -> None:
    limits = dataclasses.replace(QUICK, start_timeout_s=0.05, connect_timeout_s=0.2, opening_s=0.3)
    async with _odd(tmp_path, "deaf", limits=limits):
        await _until(lambda: bool(_starts(tmp_path)))
    assert all(not psutil.pid_exists(pid) for pid in _starts(tmp_path))


async def test_a_server_that_dies_within_its_answer_is_away_and_started_again(tmp_path: Path) -> None:
    async with _odd(tmp_path, "plain") as opened:
        await _until(lambda: bool(opened.tools("t")))
        first = int(await _call(opened, "pid"))
        waiting = asyncio.create_task(_call(opened, "pid"))
        assert (await _fails(_call(opened, "leave"))).reason == "away"
        await asyncio.wait({waiting})
        assert await _again(opened) != first
        assert not psutil.pid_exists(first)
        assert "odd.leave" in opened.tools("t")


@pytest.mark.parametrize(("way", "listed"), [("many", 10_000), ("pages", 10_000)])
async def test_of_ten_thousand_tools_the_first_can_be_used(tmp_path: Path, way: str, listed: int) -> None:
    with structlog.testing.capture_logs() as logs:
        async with _odd(tmp_path, way, max_response_bytes=4 * 1024 * 1024) as opened:
            await _until(lambda: bool(opened.tools("t")))
            assert set(opened.tools("t")) == {f"odd.t{n}" for n in range(MAX_TOOLS)}
            assert _metric("headrace_tools_skipped", connector="odd") == listed - MAX_TOOLS
    (skipped,) = [one for one in logs if one["event"] == "mcp_tools_skipped"]
    assert (len(skipped["tools"]), skipped["count"]) == (MAX_SKIPPED_SHOWN, listed - MAX_TOOLS)


async def test_a_servers_expressions_are_not_matched_with_its_results(tmp_path: Path) -> None:
    """Python would match this one for the age of the world, in the event loop."""
    async with _odd(tmp_path, "typed") as opened:
        assert await _call(opened, "answer", size=60, way="structured") == {"text": "x" * 60 + "!"}


async def test_a_result_that_is_not_what_its_tool_says_fails(tmp_path: Path) -> None:
    async with _odd(tmp_path, "typed") as opened:
        failed = await _fails(_call(opened, "answer", size=200, way="structured"))
    assert (failed.reason, "$.text" in str(failed)) == ("failed", True)


async def test_a_message_of_nothing_but_lists_is_not_read(tmp_path: Path) -> None:
    """Reading a MiB of them would keep the event loop for a third of a second."""
    async with _odd(tmp_path, "plain") as opened:
        failed = await _fails(_call(opened, "answer", size=DEFAULT_RESPONSE_BYTES // 4, way="lists"))
        assert failed.reason == "too_large"
        assert len((await _call(opened, "answer", size=50_000, way="lists"))["a"]) == 50_000


async def test_of_a_list_no_more_is_read_than_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[mcp.Tool] = []

    def noted(connector: str, tools: Sequence[mcp.Tool], before: mcp_results.Listing, *, cut: int) -> mcp_results.Listing:
        said.extend(tools)
        return listing(connector, tools, before, cut=cut)

    listing = mcp_results.listing
    monkeypatch.setattr(mcp_results, "listing", noted)
    async with _odd(tmp_path, "wide", max_response_bytes=4 * 1024 * 1024) as opened:
        await _until(lambda: bool(opened.tools("t")))
    assert len(said) == mcp_transports.MAX_LISTED
    assert not any(tool.icons for tool in said)


async def test_a_list_that_is_too_long_says_which_setting_is_meant(tmp_path: Path) -> None:
    limits = dataclasses.replace(QUICK, start_timeout_s=0.05)
    with structlog.testing.capture_logs() as logs:
        async with _odd(tmp_path, "vast", limits=limits) as opened:
            await _until(lambda: any(one["event"] == "mcp_server_away" for one in logs))
            assert opened.tools("t") == {}
    (said, *_) = [one["error"] for one in logs if one["event"] == "mcp_server_away"]
    assert "max_response_bytes" in str(said)


async def test_a_server_whose_list_always_changes_is_listed_with_pauses(tmp_path: Path) -> None:
    limits = dataclasses.replace(QUICK, listing_pause_s=60.0)
    async with _odd(tmp_path, "restless", limits=limits) as opened:
        await _until(lambda: bool(opened.tools("t")))
        entry = opened.tools("t")["odd.pid"]
        for _ in range(20):
            await _call(opened, "pid")
        # The greeting's listing, and the one that a pause follows.
        assert len((tmp_path / "listings").read_text()) <= 2
        assert opened.tools("t")["odd.pid"] is entry


async def test_a_call_that_shows_that_the_server_has_gone_does_not_wait_for_the_pause(tmp_path: Path) -> None:
    limits = dataclasses.replace(QUICK, listing_pause_s=600.0)
    async with _odd(tmp_path, "restless", limits=limits) as opened:
        await _until(lambda: bool(opened.tools("t")))
        first = int(await _call(opened, "pid"))
        assert (await _fails(_call(opened, "leave"))).reason == "away"
        assert await _again(opened) != first


async def test_what_a_process_was_given_is_hidden_in_its_errors(tmp_path: Path) -> None:
    async with _odd(tmp_path, "plain", env={"TOKEN": "KEY"}) as opened:
        await _until(lambda: bool(opened.tools("t")))
        error = await _fails(_call(opened, "answer", way="error"))
    assert str(error) == "odd.answer: cannot use ***"
