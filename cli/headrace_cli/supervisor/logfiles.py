"""The parts' log files: bounded in size, read from their end.

A part writes to its file itself, so that its log goes on when the supervisor dies. Past the bound the file's content moves
to `NAME.log.1` and the file is emptied under the writer, which appends; a line written in between may be lost.
"""

import asyncio
import os
import shutil
from collections import deque
from pathlib import Path

MAX_BYTES = 8 * 1024 * 1024
"""Of one log; with its predecessor a part keeps at most twice as much, and what one check interval adds."""
CHECK_S = 5.0


async def keep_bounded(folder: Path, *, max_bytes: int = MAX_BYTES, every_s: float = CHECK_S) -> None:
    """Check the folder's logs until cancelled."""
    while True:
        await asyncio.to_thread(rotate, folder, max_bytes)
        await asyncio.sleep(every_s)


def rotate(folder: Path, max_bytes: int) -> None:
    """Move away the content of each log that is larger than `max_bytes`; without room for a copy it is dropped."""
    for log in folder.glob("*.log"):
        if log.stat().st_size <= max_bytes:
            continue
        older = log.with_name(f"{log.name}.1")
        try:
            shutil.copyfile(log, older)
        except OSError:  # a full disk: the bound matters more than the past
            older.unlink(missing_ok=True)
        os.truncate(log, 0)


def last_lines(log: Path, count: int) -> list[str]:
    """The last lines of a log, none when there is no such file."""
    try:
        with log.open(encoding="utf-8", errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, maxlen=count)]
    except FileNotFoundError:
        return []
