"""One child process: started in a session of its own, watched, told to end, and never left behind."""

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from headrace_cli.embedded import program as programs
from headrace_cli.supervisor.plan import Part

POLL_S = 0.05
"""How often a starting process is asked whether it is ready."""


class Arrival(StrEnum):
    """How a start went."""

    READY = "ready"
    ENDED = "ended"
    LATE = "late"


class Child:
    """A running process of a part. Made inside the running loop, which learns of the process's end."""

    def __init__(self, part: Part, log: Path) -> None:
        self.part = part
        self._popen: subprocess.Popen[bytes] = programs.spawn(part.program, log)
        self.pid = self._popen.pid
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int] = loop.create_future()
        """Gets the exit code, negative for a signal."""
        watcher = threading.Thread(target=self._watch, args=(loop,), name=f"watch {part.name}", daemon=True)
        watcher.start()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        code = self._popen.wait()
        self._signal_group(signal.SIGKILL)  # what it started in its group must not outlive it
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits for it any more
            loop.call_soon_threadsafe(self._has_ended, code)

    def _has_ended(self, code: int) -> None:
        if not self.ended.done():
            self.ended.set_result(code)

    async def arrive(self, ready: Callable[[], bool]) -> Arrival:
        """Wait until the process is ready, has ended, or its time is over."""
        try:
            async with asyncio.timeout(self.part.program.ready_s):
                while not self.ended.done():
                    if await asyncio.to_thread(ready):
                        return Arrival.READY
                    await asyncio.wait((self.ended,), timeout=POLL_S)
                return Arrival.ENDED
        except TimeoutError:
            return Arrival.LATE

    async def stop(self, hurry: asyncio.Event) -> None:
        """Ask it to end; kill it when its time is over, or at once when `hurry` is set."""
        if not self.ended.done():
            with contextlib.suppress(ProcessLookupError):
                self._popen.send_signal(self.part.program.stop_signal)
        hurried = asyncio.create_task(hurry.wait(), name=f"hurry {self.part.name}")
        try:
            await asyncio.wait((self.ended, hurried), timeout=self.part.stop_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hurried.cancel()
        if not self.ended.done():
            await self.kill()

    async def kill(self) -> None:
        """End it and its group now."""
        self._signal_group(signal.SIGKILL)
        await self.ended

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
            os.killpg(self.pid, number)
