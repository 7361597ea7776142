"""Serves the simulated provider: `python -m headrace_simulator --port 8090`."""

import argparse
import logging
import sys
import time
from pathlib import Path

import uvicorn

from headrace_simulator import settings
from headrace_simulator.asgi import Application
from headrace_simulator.meters import MINUTE_S
from headrace_simulator.simulator import Simulator

WRONG_SETTINGS = 2


def main() -> int:
    """Serve until SIGTERM or SIGINT; 2 when the settings are wrong."""
    parser = argparse.ArgumentParser(prog="python -m headrace_simulator", description=__doc__)
    parser.add_argument("--host", help="where to listen (127.0.0.1)")
    parser.add_argument("--port", type=int, help="0 is any free one (8090)")
    parser.add_argument("--profile", type=Path, metavar="FILE", help="the provider's settings in YAML or JSON")
    chosen = parser.parse_args()
    try:
        wanted = settings.load(chosen.profile, host=chosen.host, port=chosen.port)
    except settings.InvalidSettings as error:
        print(error, file=sys.stderr)
        return WRONG_SETTINGS
    serve(wanted)
    return 0


def serve(wanted: settings.Settings) -> None:
    """Serve until a signal."""
    logging.basicConfig(format="%(asctime)s %(name)s %(message)s", level=logging.INFO)
    logging.getLogger("uvicorn.error").addFilter(_is_no_cut)
    begun, epoch = time.monotonic(), time.time()
    minute = epoch % MINUTE_S
    simulator = Simulator(wanted.profile, lambda: time.monotonic() - begun + minute, epoch - minute)
    config = uvicorn.Config(
        Application(simulator),
        host=wanted.host,
        port=wanted.port,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=4096,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(config).run()


def _is_no_cut(record: logging.LogRecord) -> bool:
    """A cut answer is meant: uvicorn need not complain."""
    return "without completing response" not in record.getMessage()


if __name__ == "__main__":
    sys.exit(main())
