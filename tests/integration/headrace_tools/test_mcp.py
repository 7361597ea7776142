"""MCP servers that are real processes, over their standard streams and over HTTP: used, killed, started again, changed."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from headrace_cli.embedded import program
from headrace_tools.errors import ToolFailed
from headrace_tools.limits import Limits
from headrace_tools.ports import Toolbox
from prometheus_client import REGISTRY

from tests.support import mcp_older_server, mcp_server
from tests.support.tool_servers import QUICK, http_server, toolbox

LONG_S = 60.0
SCRIPT = str(mcp_server.__file__)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG_S):
        while not condition():
            await asyncio.sleep(0.01)


async def _call(opened: Toolbox, tool: str, **arguments: Any) -> Any:
    return await opened.call("t", f"m.{tool}", arguments, deadline_s=LONG_S)


async def _fails(called: Awaitable[Any]) -> ToolFailed:
    with pytest.raises(ToolFailed) as raised:
        await called
    return raised.value


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _connected() -> float:
    return REGISTRY.get_sample_value("headrace_tools_connected", {"connector": "m"}) or 0.0


@contextmanager
def _served(port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, SCRIPT, "http", str(port)])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _stdio(**settings: Any) -> Any:
    return {"connectors": {"m": {"kind": "mcp", "command": [sys.executable, SCRIPT, "stdio"], "timeout_s": 60, **settings}}}


def _http(port: int, **settings: Any) -> Any:
    entry = {
        "kind": "mcp",
        "url": f"http://127.0.0.1:{port}/mcp",
        "allow_hosts": ["127.0.0.1"],
        "timeout_s": 60,
        **settings,
    }
    return {"connectors": {"m": entry}}


@pytest.fixture(params=["stdio", "http"])
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Toolbox]:
    """A toolbox with one server, reached either way."""
    if request.param == "stdio":
        async with toolbox(tmp_path, _stdio()) as value:
            await _until(lambda: bool(value.tools("t")))
            yield value
        return
    port = program.free_port()
    with _served(port):
        async with toolbox(tmp_path, _http(port)) as value:
            await _until(lambda: bool(value.tools("t")))
            yield value


async def test_a_servers_tools_are_listed_and_called(opened: Toolbox) -> None:
    entry = opened.tools("t")["m.add"]
    assert (entry.kind, entry.connector, entry.tool.description, entry.idempotent) == ("mcp", "m", "Add two numbers.", True)
    assert set(entry.tool.input_schema["properties"]) == {"a", "b"}
    assert not opened.tools("t")["m.text"].idempotent
    assert "m.odd.name" not in opened.tools("t")
    assert await _call(opened, "add", a=1, b=2) == {"result": 3}
    assert await _call(opened, "text") == "one\n[image image/png, not shown]\ntwo"


async def test_what_a_failure_means(opened: Toolbox) -> None:
    assert (await _fails(_call(opened, "add", a="x"))).reason == "invalid"
    failed = await _fails(_call(opened, "broken"))
    assert failed.reason == "failed"
    assert "broken" in str(failed)
    assert (await _fails(_call(opened, "long", size=1_500_000))).reason == "too_large"
    assert (await _fails(_call(opened, "missing"))).reason == "invalid"
    assert await _call(opened, "add", a=1, b=1) == {"result": 2}


async def test_a_call_that_is_cancelled_or_late_is_broken_off_at_the_server(opened: Toolbox, tmp_path: Path) -> None:
    late, cancelled = tmp_path / "late", tmp_path / "cancelled"
    error = await _fails(opened.call("t", "m.wait", {"path": str(late)}, deadline_s=1.0))
    assert error.reason == "deadline"
    call = asyncio.create_task(_call(opened, "wait", path=str(cancelled)))
    await _until(lambda: cancelled.exists() and cancelled.read_text() == "begun")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await _until(lambda: cancelled.read_text() == "cancelled")
    assert await _call(opened, "add", a=1, b=1) == {"result": 2}


async def test_tools_that_come_later_are_listed(opened: Toolbox) -> None:
    assert "m.learned" not in opened.tools("t")
    await _call(opened, "learn", name="learned")
    await _until(lambda: "m.learned" in opened.tools("t"))
    assert await _call(opened, "learned") == "learned"


async def test_a_server_of_the_older_protocol_is_spoken_to_as_well(tmp_path: Path) -> None:
    file = {"connectors": {"m": {"kind": "mcp", "command": [sys.executable, str(mcp_older_server.__file__)]}}}
    async with toolbox(tmp_path, file) as opened:
        await _until(lambda: bool(opened.tools("t")))
        assert set(opened.tools("t")) == {"m.learn"}
        assert await _call(opened, "learn", name="more") == "learned"
        await _until(lambda: "m.more" in opened.tools("t"))


async def test_a_process_that_dies_is_started_again(tmp_path: Path) -> None:
    async with toolbox(tmp_path, _stdio()) as opened:
        await _until(lambda: bool(opened.tools("t")))
        first = (await _call(opened, "pid"))["result"]
        assert (await _fails(_call(opened, "die"))).reason == "away"
        # Its tools stay known meanwhile, and a call that does no harm waits for the next process.
        assert "m.pid" in opened.tools("t")
        await _until(lambda: not _alive(first))
        second = await _again(opened)
        assert second != first
        os.kill(second, signal.SIGKILL)
        assert await _again(opened) not in (first, second)


async def _again(opened: Toolbox) -> int:
    """The process that answers, once one does."""
    async with asyncio.timeout(LONG_S):
        while True:
            try:
                return int((await _call(opened, "pid"))["result"])
            except ToolFailed as error:
                if error.reason != "away":
                    raise


async def test_a_server_over_http_may_go_and_come_back(tmp_path: Path) -> None:
    port = program.free_port()
    with _served(port):
        async with toolbox(tmp_path, _http(port)) as opened:
            await _until(lambda: bool(opened.tools("t")))
            first = (await _call(opened, "pid"))["result"]
            os.kill(first, signal.SIGKILL)
            limits_wait = await _fails(opened.call("t", "m.variables", {}, deadline_s=2))
            assert limits_wait.reason in ("away", "deadline")
            with _served(port):
                assert await _again(opened) != first


async def test_a_process_ends_with_the_toolbox_and_sees_only_its_variables(tmp_path: Path) -> None:
    environment = {"NOTES": "n0tes", "OTHER": "secret"}
    os.environ["HEADRACE_TEST_SECRET"] = "secret"
    try:
        async with toolbox(tmp_path, _stdio(env={"TOKEN": "NOTES"}), environment=environment) as opened:
            await _until(lambda: bool(opened.tools("t")))
            pid = (await _call(opened, "pid"))["result"]
            seen = await _call(opened, "variables")
            assert seen["TOKEN"] == "n0tes"
            assert seen["cwd"] == str(tmp_path.resolve())
            assert "secret" not in json.dumps(seen)
            assert set(seen) <= {"TOKEN", "cwd", "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LC_CTYPE"}
    finally:
        del os.environ["HEADRACE_TEST_SECRET"]
    await _until(lambda: not _alive(pid))


async def test_a_server_that_is_away_stops_nothing(tmp_path: Path) -> None:
    port = program.free_port()
    limits = Limits(
        **{name: getattr(QUICK, name) for name in QUICK.__slots__} | {"start_timeout_s": 0.01, "reconnect_wait_s": 0.01}
    )
    async with toolbox(tmp_path, _http(port), limits=limits) as opened:
        assert opened.tools("t") == {}
        assert _connected() == 0
        assert (await _fails(_call(opened, "add", a=1, b=1))).reason == "away"
        with _served(port):
            await _until(lambda: "m.add" in opened.tools("t"))
            assert await _call(opened, "add", a=1, b=1) == {"result": 2}
            assert _connected() == 1


async def test_a_command_that_is_none_is_away(tmp_path: Path) -> None:
    file = {"connectors": {"m": {"kind": "mcp", "command": ["/no/such/program"]}}}
    limits = Limits(first_pause_s=0.01, start_timeout_s=0.05)
    async with toolbox(tmp_path, file, limits=limits) as opened:
        assert opened.tools("t") == {}


async def test_a_server_over_http_is_called_through_the_guard(tmp_path: Path) -> None:
    heard: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        heard.append(request.path)
        return web.Response(status=404)

    def refused() -> float:
        return REGISTRY.get_sample_value("headrace_tools_refused_addresses_total", {"connector": "m"}) or 0.0

    before = refused()
    async with http_server(handler) as url:
        entry = {"kind": "mcp", "url": f"{url}/mcp"}
        async with toolbox(tmp_path, {"connectors": {"m": entry}}, limits=Limits(start_timeout_s=0.2)) as opened:
            await _until(lambda: refused() > before)
            assert opened.tools("t") == {}
    assert heard == []


async def test_a_secret_goes_to_the_server(tmp_path: Path) -> None:
    heard: list[str | None] = []

    async def handler(request: web.Request) -> web.Response:
        heard.append(request.headers.get("Authorization"))
        return web.Response(status=403)

    async with http_server(handler) as url:
        port = int(url.rpartition(":")[2])
        file = _http(port, auth={"kind": "bearer", "secret": "KEY"})
        async with toolbox(tmp_path, file, environment={"KEY": "k"}, limits=Limits(start_timeout_s=0.2)):
            await _until(lambda: bool(heard))
    assert set(heard) == {"Bearer k"}
