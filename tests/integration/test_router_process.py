"""The router as the process that it is: real embeddings, real model, real Valkey, signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc
from headrace.router.v1 import router_pb2, router_pb2_grpc
from headrace_cli.commands.up import QUESTION
from headrace_cli.embedded import program
from headrace_router import app, policy
from headrace_router.model import Intent
from headrace_router.settings import Settings
from headrace_runtime import channels

READY_S = 30.0
ENGLISH = "Put together an overview page of this month's attendance"
UNCLEAR = "and then?"


@dataclass
class Running:
    """A router process and a client of it."""

    process: asyncio.subprocess.Process
    stub: router_pb2_grpc.RouterServiceAsyncStub
    metrics_url: str

    async def route(self, message: str, **fields: object) -> router_pb2.RouteResponse:
        request = router_pb2.RouteRequest(tenant_id="acme", message=message, **fields)  # type: ignore[arg-type]
        return await channels.unary(self.stub.Route, request, timeout_s=20)

    async def metric(self, name: str) -> float:
        """A metric without labels, or the sum over all labels."""
        async with aiohttp.ClientSession() as session, session.get(self.metrics_url) as answer:
            lines = (await answer.text()).splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((name + " ", name + "{")))

    async def examples_ready(self) -> None:
        async with asyncio.timeout(READY_S):
            while await self.metric("headrace_router_examples_ready") != 1:
                await asyncio.sleep(0.05)


def environment(folder: Path, *, models: dict[str, object] | None, redis_url: str) -> dict[str, str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
    env["HEADRACE_LLM_REDIS_URL"] = redis_url
    env["HEADRACE_ROUTER_LISTEN"] = f"127.0.0.1:{program.free_port()}"
    env["HEADRACE_ROUTER_METRICS_LISTEN"] = f"127.0.0.1:{program.free_port()}"
    if models is not None:
        path = folder / "models.yaml"
        path.write_text(yaml.safe_dump(models))
        env["HEADRACE_LLM_MODELS_FILE"] = str(path)
    return env


def one_model(base_url: str) -> dict[str, object]:
    model = {"model": "openai/smollm2", "api_base": base_url, "api_key_env": "ROUTER_TEST_KEY", "context_tokens": 4096}
    return {"default": "small", "models": {"small": model}}


@asynccontextmanager
async def running(env: dict[str, str]) -> AsyncIterator[Running]:
    """A router that serves. Killed at the end of the block unless it has ended."""
    env = {**env, "ROUTER_TEST_KEY": "unused"}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "headrace_router", env=env)
    try:
        async with channels.open_channel(env["HEADRACE_ROUTER_LISTEN"]) as channel:
            check = health_pb2.HealthCheckRequest(service=app.SERVICE)
            answer = await health_pb2_grpc.HealthStub(channel).Check(check, timeout=READY_S, wait_for_ready=True)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            metrics_url = f"http://{env['HEADRACE_ROUTER_METRICS_LISTEN']}/metrics"
            stub = router_pb2_grpc.RouterServiceStub(channel)
            yield Running(process, stub, metrics_url)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_it_serves_at_once_learns_its_examples_and_asks_the_real_model_last(
    tmp_path: Path, redis_url: str, local_model_url: str
) -> None:
    env = environment(tmp_path, models=one_model(local_model_url), redis_url=redis_url)
    async with running(env) as router:
        slashed = await router.route("/quiz volcanoes")
        chinese = await router.route("给我出10道关于火山的选择题")
        assert (slashed.intent, slashed.decided_by) == (router_pb2.INTENT_QUIZ, router_pb2.DECIDED_BY_RULES)
        assert (chinese.intent, chinese.decided_by) == (router_pb2.INTENT_QUIZ, router_pb2.DECIDED_BY_EMBEDDING)

        await router.examples_ready()
        english = await router.route(ENGLISH)
        assert (english.intent, english.decided_by) == (router_pb2.INTENT_BUILD, router_pb2.DECIDED_BY_EMBEDDING)
        assert await router.metric("headrace_router_words_only_total") == 0

        asked = await router.route(UNCLEAR)
        assert asked.decided_by == router_pb2.DECIDED_BY_MODEL
        assert asked.intent in router_pb2.Intent.values()[1:]
        assert asked.usage.models["small"].llm_calls == 1
        assert asked.usage.prompt_tokens > 50
        assert await router.metric("headrace_router_decisions_total") == 4

        router.process.terminate()
        assert await asyncio.wait_for(router.process.wait(), 10) == 0


async def test_the_question_of_up_needs_no_model_before_and_after_the_examples_are_learned(tmp_path: Path) -> None:
    words = await app.make_neighbourhood(Settings()).vote(QUESTION)
    assert words.intent is Intent.CHAT
    assert words.margin > policy.CLEAR_MARGIN
    env = environment(tmp_path, models=one_model("http://127.0.0.1:9/v1"), redis_url="redis://127.0.0.1:9/0")
    async with running(env) as router:
        await router.examples_ready()
        first = await router.route(QUESTION)
        assert (first.intent, first.decided_by) == (router_pb2.INTENT_CHAT, router_pb2.DECIDED_BY_EMBEDDING)
        assert await router.metric("headrace_router_model_unanswered_total") == 0


async def test_with_neither_model_nor_redis_it_goes_on_answering(tmp_path: Path) -> None:
    dead = program.free_port()
    env = environment(tmp_path, models=one_model(f"http://127.0.0.1:{dead}/v1"), redis_url=f"redis://127.0.0.1:{dead}/0")
    async with running(env) as router:
        await router.examples_ready()
        answer = await router.route(UNCLEAR)
        assert answer.decided_by == router_pb2.DECIDED_BY_EMBEDDING
        assert answer.confidence < 0.5
        assert await router.metric("headrace_router_model_unanswered_total") == 1
        assert (await router.route(ENGLISH)).intent == router_pb2.INTENT_BUILD


async def test_sixty_four_messages_at_once_are_all_answered(tmp_path: Path, redis_url: str) -> None:
    dead = program.free_port()
    env = environment(tmp_path, models=one_model(f"http://127.0.0.1:{dead}/v1"), redis_url=redis_url)
    async with running(env) as router:
        await router.examples_ready()
        answers = await asyncio.gather(*(router.route(f"{ENGLISH}, class {number}") for number in range(64)))
        assert {answer.intent for answer in answers} == {router_pb2.INTENT_BUILD}


async def test_a_missing_models_file_setting_ends_it_with_a_line_that_names_it(tmp_path: Path) -> None:
    env = environment(tmp_path, models=None, redis_url="redis://127.0.0.1:1/0")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headrace_router", env=env, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await asyncio.wait_for(process.communicate(), READY_S)
    assert process.returncode == 2
    assert b"HEADRACE_LLM_MODELS_FILE" in errors


async def test_a_wrong_setting_ends_it_with_a_line_that_names_it(tmp_path: Path, redis_url: str) -> None:
    env = environment(tmp_path, models=one_model("http://127.0.0.1:1/v1"), redis_url=redis_url)
    env["HEADRACE_ROUTER_MARGIN"] = "2"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headrace_router", env=env, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await asyncio.wait_for(process.communicate(), READY_S)
    assert process.returncode == 2
    assert errors.startswith(b"HEADRACE_ROUTER_MARGIN: ")
