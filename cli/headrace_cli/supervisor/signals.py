"""SIGINT, SIGTERM and SIGHUP as requests to stop; the second one as a request to stop at once."""

import asyncio
import signal

from headrace_cli.supervisor.launch import Signals

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def install() -> Signals:
    """Handle the signals in the running loop from now on."""
    asked = Signals(stop=asyncio.Event(), hurry=asyncio.Event())

    def ask() -> None:
        (asked.hurry if asked.stop.is_set() else asked.stop).set()

    loop = asyncio.get_running_loop()
    for number in STOPPING:
        loop.add_signal_handler(number, ask)
    return asked
