"""Executor processes that hold the gate in a run, as the suite starts them: `python -m headrace_executor`."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import Any

import grpc
import orjson
from headrace.executor.v1 import executor_pb2 as pb
from headrace.executor.v1 import executor_pb2_grpc as pb_grpc
from headrace_cli.embedded import program
from headrace_cli.supervisor import health
from headrace_cli.supervisor.ports import HOST, Ports

from tests.load import clients

READY_S = 90.0
"""For four processes to import what they need on a busy machine."""
DRAIN_S = 1.0
WARM = "warm"
"""A model without a limit, which is asked once before a run: the gate's own model stays unknown to it."""
WARM_S = 60.0
LOGGED = 2000
"""Characters of its log that are told of one that does not start."""
MOST_CHATS = 10_000
"""At one executor, with a gate that refuses nobody."""


@dataclass(frozen=True, slots=True)
class Executor:
    """One that runs."""

    program: program.Program
    process: "Popen[bytes]"
    address: str


@dataclass(frozen=True, slots=True)
class Backing:
    """What they stand on."""

    provider_url: str
    database_url: str
    redis_url: str


@contextmanager
def running(
    home: Path, backing: Backing, ports: Ports, *, number: int, variant: str, limits: Mapping[str, Any]
) -> Iterator[Sequence[Executor]]:
    """Run so many, each ready and with LiteLLM imported. `limits` as in models.yaml. Raises `program.ProgramFailed`."""
    models = home / "models.yaml"
    models.write_text(json.dumps(_models(backing.provider_url, limits)))
    started: list[Executor] = []
    try:
        for at in range(number):
            port = ports.any()
            one = _program(f"executor-{at}", port, variant, _environment(backing, models, port, variant))
            started.append(Executor(one, program.spawn(one, home / f"{one.name}.log"), f"{HOST}:{port}"))
        for executor in started:
            _await_ready(executor, home / f"{executor.program.name}.log")
        with ThreadPoolExecutor(number) as pool:
            list(pool.map(_warm, started))
        yield started
    finally:
        for executor in started:
            executor.process.terminate()
        for executor in started:
            program.stop(executor.program, executor.process)


def _await_ready(executor: Executor, log: Path) -> None:
    try:
        program.wait_ready(executor.program, executor.process, log)
    except program.ProgramFailed as error:
        raise program.ProgramFailed(f"{error}:\n{log.read_text()[-LOGGED:]}") from error


def _program(name: str, port: int, variant: str, env: Mapping[str, str]) -> program.Program:
    module = ("headrace_executor",) if variant == clients.OURS else ("tests.load.executor", variant)
    argv = (sys.executable, "-m", *module)
    return program.Program(name=name, argv=argv, ready=partial(health.grpc_serving, port), env=env, ready_s=READY_S)


def _models(provider_url: str, limits: Mapping[str, Any]) -> Mapping[str, Any]:
    price = {"prompt_usd_per_million": 0, "completion_usd_per_million": 0}
    api = {"api_base": f"{provider_url}/v1", "price": price}
    paced = {**api, "model": f"openai/{clients.MODEL}", "limits": dict(limits)}
    return {"default": clients.MODEL, "models": {clients.MODEL: paced, WARM: {**api, "model": f"openai/{WARM}"}}}


def _environment(backing: Backing, models: Path, port: int, variant: str) -> Mapping[str, str]:
    env = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "HEADRACE_LLM_MODELS_FILE": str(models),
        "HEADRACE_LLM_REDIS_URL": backing.redis_url,
        "HEADRACE_EXECUTOR_LISTEN": f"{HOST}:{port}",
        "HEADRACE_EXECUTOR_DATABASE_URL": backing.database_url,
        "HEADRACE_EXECUTOR_REDIS_URL": backing.redis_url,
        "HEADRACE_EXECUTOR_LOG_LEVEL": "warning",
        "HEADRACE_EXECUTOR_DRAIN_S": f"{DRAIN_S:g}",
    }
    if variant in clients.PATIENT:
        env["HEADRACE_EXECUTOR_MAX_CHATS"] = str(MOST_CHATS)
        env |= {f"HEADRACE_LLM_{name.upper()}": str(most) for name, most in clients.ROOM.items()}
    return env


def _warm(executor: Executor) -> None:
    body = orjson.dumps({"messages": [{"role": "user", "content": clients.PROMPT}], "max_tokens": 1})
    with grpc.insecure_channel(executor.address) as channel:
        request = pb.ChatRequest(tenant_id="load", model=WARM, deadline_s=WARM_S, body=body)
        *_, last = pb_grpc.ChatServiceStub(channel).Chat(request, timeout=WARM_S)
    assert last.HasField("completion"), last
