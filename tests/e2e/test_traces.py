"""One trace follows a run from the HTTP request through every service to the model's provider."""

import json
import secrets
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import grpc
import pytest

from tests.e2e import suite as suites
from tests.e2e.conftest import MODELS
from tests.support import otlp
from tests.support.folders import open_folder
from tests.support.openai_server import OpenAiServer, Reply

SERVICES = ("edge", "executor", "router", "planner", "rag")
COLLECTED_S = 30
"""Longest wait for spans; the exporters send every 5 s."""
QUESTION = "which zyzzyva grinds the quern?"
ANSWER = "The xylocarp grinds it, said the miller."
SAID = ("zyzzyva", "xylocarp")


@pytest.fixture(scope="module")
def collector() -> Iterator[otlp.Collector]:
    with otlp.collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def traced(collector: otlp.Collector, _provider: OpenAiServer) -> Iterator[suites.Suite]:
    env = {f"HEADRACE_{service.upper()}_OTLP_ENDPOINT": collector.endpoint for service in SERVICES}
    with open_folder() as home:
        models = home / "models.yaml"
        models.write_text(MODELS.format(url=_provider.base_url))
        with suites.running(home / "state", "--models", str(models), env=env) as suite:
            yield suite


async def test_one_trace_follows_a_run_through_every_service(
    traced: suites.Suite, collector: otlp.Collector, provider: OpenAiServer
) -> None:
    await traced.ready()
    provider.otherwise = Reply(text=ANSWER)
    trace_id, caller = secrets.token_hex(16), secrets.token_hex(8)

    answer = await traced.post(
        "/api/conversation/stream", {"message": QUESTION, "mode": "qa"}, traceparent=f"00-{trace_id}-{caller}-01"
    )
    assert answer.status_code == 200, answer.text
    assert "RUN_FINISHED" in answer.text, answer.text
    arrived = collector.until(lambda spans: whole(of(trace_id, spans), caller), timeout_s=COLLECTED_S)
    spans = of(trace_id, arrived)
    shown = "\n".join(f"{s.service} {s.name} {s.span_id} < {s.parent_id}" for s in spans)

    assert whole(spans, caller), shown
    (root,) = (s for s in spans if s.parent_id == caller)
    assert (root.service, root.name) == ("headrace-edge", "POST /api/conversation/stream")
    steps = {s.name: s for s in spans if s.service == "headrace-executor" and not s.name.startswith("/")}
    assert list(names(ancestors(steps["route"], spans))) == ["run conversation", root.name], shown
    assert list(names(ancestors(steps["plan"], spans))) == ["run conversation", root.name], shown
    chat = steps["chat scripted"]
    assert list(names(ancestors(chat, spans))) == ["node:answer", "run conversation", root.name], shown
    assert chat.attributes["gen_ai.operation.name"] == "chat"
    assert chat.attributes["gen_ai.request.model"] == "scripted"
    assert chat.attributes["gen_ai.usage.input_tokens"] > 0
    assert chat.attributes["gen_ai.usage.output_tokens"] == len(ANSWER.split())
    assert not [s.name for s in spans if any(word in s.text for word in SAID)]
    assert not [s.name for s in arrived if "Health" in s.name or "health" in s.name]
    logged = [json.loads(line) for line in log_of(traced.home, "edge").splitlines() if trace_id in line]
    assert [(line["event"], line["span_id"]) for line in logged] == [("request", root.span_id)]


async def test_a_refused_request_leaves_its_code_and_not_its_words(
    traced: suites.Suite, collector: otlp.Collector, provider: OpenAiServer
) -> None:
    await traced.ready()
    trace_id = secrets.token_hex(16)

    answer = await traced.post(
        "/api/tasks",
        {"kind": "conversation", "message": QUESTION, "mode": "chat", "model": SAID[1]},
        traceparent=f"00-{trace_id}-{secrets.token_hex(8)}-01",
    )
    assert answer.status_code == 422, answer.text

    def complete(spans: Iterable[otlp.Span]) -> bool:
        return {s.service for s in of(trace_id, spans)} == {"headrace-edge", "headrace-executor"}

    spans = of(trace_id, collector.until(complete, timeout_s=COLLECTED_S))
    codes = {s.attributes.get("rpc.grpc.status_code") for s in spans if s.name.endswith("/SubmitRun")}
    assert codes == {grpc.StatusCode.INVALID_ARGUMENT.value[0]}
    assert not [s.name for s in spans if any(word in s.text for word in SAID)]


def of(trace_id: str, spans: Iterable[otlp.Span]) -> list[otlp.Span]:
    """The spans of one trace."""
    return [s for s in spans if s.trace_id == trace_id]


def whole(spans: Sequence[otlp.Span], caller: str) -> bool:
    """Whether every service has spoken and every span's parent is there."""
    known = {s.span_id for s in spans} | {caller}
    return {s.service for s in spans} == {f"headrace-{service}" for service in SERVICES} and all(
        s.parent_id in known for s in spans
    )


def names(spans: Iterable[otlp.Span]) -> Iterator[str]:
    """Their names."""
    return (s.name for s in spans)


def ancestors(span: otlp.Span, spans: Sequence[otlp.Span]) -> list[otlp.Span]:
    """The spans above one, nearest first."""
    by_id = {s.span_id: s for s in spans}
    found: list[otlp.Span] = []
    while (parent := by_id.get(span.parent_id)) is not None:
        found.append(parent)
        span = parent
    return found


def log_of(home: Path, service: str) -> str:
    """What a service has logged."""
    return (home / "logs" / f"{service}.log").read_text(encoding="utf-8")
