"""One trace follows a run from the HTTP request through every service to the model's provider."""

import json
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.e2e import suite as suites
from tests.e2e.conftest import MODELS, state_dir
from tests.support import otlp
from tests.support.openai_server import OpenAiServer, Reply

SERVICES = ("edge", "executor", "router", "planner", "rag")
COLLECTED_S = 30
"""Longest wait for spans; the exporters send every 5 s."""
QUESTION = "which zyzzyva grinds the quern?"
ANSWER = "The xylocarp grinds it, said the miller."


@pytest.fixture
def _collector() -> Iterator[otlp.Collector]:
    with otlp.collector() as collector:
        yield collector


@pytest.fixture
def _traced(_collector: otlp.Collector, provider: OpenAiServer) -> Iterator[suites.Suite]:
    env = {f"HEADRACE_{service.upper()}_OTLP_ENDPOINT": _collector.endpoint for service in SERVICES}
    with state_dir() as home:
        models = home / "models.yaml"
        models.write_text(MODELS.format(url=provider.base_url))
        with suites.running(home / "state", "--models", str(models), env=env) as suite:
            yield suite


async def test_one_trace_follows_a_run_through_every_service(
    _traced: suites.Suite, _collector: otlp.Collector, provider: OpenAiServer
) -> None:
    await _traced.ready()
    provider.otherwise = Reply(text=ANSWER)
    trace_id, caller = secrets.token_hex(16), secrets.token_hex(8)

    answer = await _traced.post(
        "/api/conversation/stream", {"message": QUESTION, "mode": "qa"}, traceparent=f"00-{trace_id}-{caller}-01"
    )
    assert answer.status_code == 200, answer.text
    assert "RUN_FINISHED" in answer.text, answer.text

    def complete(spans: Sequence[otlp.Span]) -> bool:
        ours = [span for span in spans if span.trace_id == trace_id]
        edge = any(span.service == "headrace-edge" and span.parent_id == caller for span in ours)
        return edge and {span.service for span in ours} == {f"headrace-{service}" for service in SERVICES}

    spans = [s for s in _collector.until(complete, timeout_s=COLLECTED_S) if s.trace_id == trace_id]
    shown = "\n".join(f"{s.service} {s.name} {s.span_id} < {s.parent_id}" for s in spans)
    assert complete(spans), shown
    assert sum(s.parent_id == caller for s in spans) == 1, shown
    root = next(s for s in spans if s.parent_id == caller)
    assert (root.service, root.name) == ("headrace-edge", "POST /api/conversation/stream")
    assert all(root in ancestors(s, spans) for s in spans if s is not root), shown

    steps = {s.name: s for s in spans if s.service == "headrace-executor" and not s.name.startswith("/")}
    run = steps["run conversation"]
    assert {"route", "plan"} <= steps.keys(), shown
    nodes = [s for name, s in steps.items() if name.startswith("node:")]
    assert nodes, shown
    assert all(run in ancestors(s, spans) for s in (steps["route"], steps["plan"], *nodes)), shown

    chat = steps["chat scripted"]
    assert set(ancestors(chat, spans)) & set(nodes), shown
    assert chat.attributes["gen_ai.operation.name"] == "chat"
    assert chat.attributes["gen_ai.request.model"] == "scripted"
    assert chat.attributes["gen_ai.usage.input_tokens"] > 0
    assert chat.attributes["gen_ai.usage.output_tokens"] == len(ANSWER.split())

    for word in ("zyzzyva", "xylocarp"):
        assert not [s.name for s in spans if word in s.text]
    logged = [json.loads(line) for line in (_log(_traced.home, "edge")).splitlines() if trace_id in line]
    assert [line["event"] for line in logged] == ["request"]


def ancestors(span: otlp.Span, spans: Sequence[otlp.Span]) -> list[otlp.Span]:
    """The spans above one, nearest first."""
    by_id = {s.span_id: s for s in spans}
    found: list[otlp.Span] = []
    while (parent := by_id.get(span.parent_id)) is not None:
        found.append(parent)
        span = parent
    return found


def _log(home: Path, service: str) -> str:
    return (home / "logs" / f"{service}.log").read_text(encoding="utf-8")
