"""`headrace quota` as a process against a real edge: once, as JSON, and live on a terminal until Ctrl-C."""

import asyncio
import json
import os
import pty
import signal
import sys
import termios
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from tests.support import edge_suite
from tests.support.edge_suite import Suite

COMMAND = (sys.executable, "-m", "headrace_cli", "quota")


@pytest.fixture
async def edge() -> AsyncIterator[Suite]:
    async with edge_suite.suite() as running:
        yield running


def environment(edge: Suite, home: Path) -> Mapping[str, str]:
    own = {"HEADRACE_URL": f"http://127.0.0.1:{edge.port}", "HEADRACE_HOME": str(home), "TERM": "xterm"}
    return {**os.environ, **own}


async def test_without_a_terminal_it_looks_once(edge: Suite, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, env=environment(edge, tmp_path), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    assert "60 of 45" in out.decode()
    assert "25.0 % refused" in out.decode()


async def test_json_is_the_edges_answer_and_one_line_a_look_when_watching(edge: Suite, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "--watch", "--json", env=environment(edge, tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        looks = [json.loads(await process.stdout.readline()) for _ in range(2)]
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(process.communicate(), 20)
    assert [look["models"]["small"]["effective_rpm"] for look in looks] == [45, 45]
    assert process.returncode == 0


async def test_on_a_terminal_it_is_live_survives_the_edges_absence_and_ends_by_ctrl_c(edge: Suite, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 160))
    process = await asyncio.create_subprocess_exec(*COMMAND, env=environment(edge, tmp_path), stdout=theirs)
    os.close(theirs)
    seen = bytearray()

    async def until(text: bytes) -> None:
        async with asyncio.timeout(60):
            while text not in seen:
                seen.extend(await asyncio.to_thread(os.read, ours, 65536))

    try:
        await until(b"Ctrl-C ends")
        await edge.executor_part.kill()
        await until(b"!")
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        os.close(ours)
    assert b"60 of 45" in seen
