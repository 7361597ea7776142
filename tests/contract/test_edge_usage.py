"""GET /api/usage before a real gRPC service: shapes, parameters, tenants, refusals."""

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from headrace.executor.v1 import executor_pb2 as pb
from headrace_runtime import errors

from tests.support import edge_suite
from tests.support.edge_suite import Suite


def today() -> str:
    return datetime.now(UTC).date().isoformat()


@pytest.fixture
async def edge() -> AsyncIterator[Suite]:
    async with edge_suite.suite() as one:
        yield one


def answer(*costs: float | None, **fields: Any) -> pb.GetUsageResponse:
    """Rows of two calls each."""
    value = pb.GetUsageResponse(**fields)
    for n, cost in enumerate(costs):
        row = value.rows.add(day="2026-01-31", model=f"m{n}", kind="chat")
        row.usage.llm_calls, row.usage.prompt_tokens, row.usage.completion_tokens = 2, 10, 5
        if cost is not None:
            row.usage.cost_usd = cost
    return value


async def test_rows_tell_what_was_asked_for_and_the_total_is_theirs(edge: Suite) -> None:
    edge.executor.usage["default"] = answer(0.5, 0.25)
    response = await edge.client.get(
        "/api/usage", params={"from": "2026-01-30", "to": "2026-01-31", "group_by": "model,session"}
    )
    assert response.status_code == 200
    figures = {"llm_calls": 2, "cached_calls": 0, "prompt_tokens": 10, "completion_tokens": 5}
    assert response.json() == {
        "from": "2026-01-30",
        "to": "2026-01-31",
        "rows": [
            {"model": "m0", "session_id": None, "usage": {**figures, "cost_usd": 0.5}},
            {"model": "m1", "session_id": None, "usage": {**figures, "cost_usd": 0.25}},
        ],
        "total": {
            "llm_calls": 4, "cached_calls": 0, "prompt_tokens": 20, "completion_tokens": 10, "cost_usd": 0.75,
        },
        "budget": None,
        "truncated": False,
    }  # fmt: skip
    (request,) = edge.executor.usage_requests
    assert (request.first_day, request.last_day, request.tenant_id) == ("2026-01-30", "2026-01-31", "default")
    assert list(request.group_by) == [pb.USAGE_DIMENSION_MODEL, pb.USAGE_DIMENSION_SESSION]


async def test_without_parameters_it_is_today_and_one_group(edge: Suite) -> None:
    edge.executor.usage["default"] = answer(0.5)
    body = (await edge.client.get("/api/usage")).json()
    assert body["from"] == body["to"] == today()
    assert list(body["rows"][0]) == ["usage"]
    assert not edge.executor.usage_requests[0].group_by


async def test_one_day_given_makes_the_other(edge: Suite) -> None:
    body = (await edge.client.get("/api/usage", params={"to": "2026-01-31"})).json()
    assert body["from"] == "2026-01-31"
    body = (await edge.client.get("/api/usage", params={"from": "2026-01-31"})).json()
    assert body["to"] == today()


async def test_an_unknown_cost_makes_the_total_unknown(edge: Suite) -> None:
    edge.executor.usage["default"] = answer(0.5, None)
    body = (await edge.client.get("/api/usage", params={"group_by": "model"})).json()
    assert [row["usage"]["cost_usd"] for row in body["rows"]] == [0.5, None]
    assert body["total"]["cost_usd"] is None


async def test_a_budget_has_its_limits_what_is_used_and_when_it_begins_anew(edge: Suite) -> None:
    edge.executor.usage["default"] = answer(0.5, budget=pb.Budget(usd_limit=5, usd=0.5, tokens=15, calls_limit=0, calls=2))
    body = (await edge.client.get("/api/usage")).json()
    assert body["budget"]["daily"] == {
        "usd": {"limit": 5, "used": 0.5}, "tokens": {"limit": None, "used": 15}, "calls": {"limit": 0, "used": 2},
    }  # fmt: skip
    resets = datetime.fromisoformat(body["budget"]["resets_at"])
    assert timedelta() < resets - datetime.now(UTC) <= timedelta(days=1, seconds=5)
    assert (resets.hour, resets.minute, resets.second) == (0, 0, 0)


async def test_rows_that_are_left_out_are_in_the_total(edge: Suite) -> None:
    edge.executor.usage["default"] = answer(0.5, truncated=True)
    body = (await edge.client.get("/api/usage", params={"group_by": "run", "run_id": "r"})).json()
    assert body["truncated"] is True
    assert body["total"]["llm_calls"] == 1000
    assert [request.run_id for request in edge.executor.usage_requests] == ["r", "r"]


@pytest.mark.parametrize("group_by", ["colour", "day,", "day,day", ",", "day;model"])
async def test_a_wrong_group_is_refused_without_asking(edge: Suite, group_by: str) -> None:
    response = await edge.client.get("/api/usage", params={"group_by": group_by})
    assert response.status_code == 422
    assert response.json()["errors"][0]["loc"] == ["query", "group_by"]
    assert "day, model, kind, session, run" in response.json()["detail"]
    assert not edge.executor.usage_requests


@pytest.mark.parametrize("params", [{"from": "yesterday"}, {"to": "2026-02-30"}, {"session_id": "x" * 129}])
async def test_a_wrong_parameter_is_a_problem_with_its_name(edge: Suite, params: dict[str, str]) -> None:
    response = await edge.client.get("/api/usage", params=params)
    assert response.status_code == 422
    assert response.json()["errors"][0]["loc"] == ["query", *params]


async def test_what_the_service_refuses_is_said_in_the_parameters_words(edge: Suite) -> None:
    violation = errors.Violation("last_day", "must not be before first_day")
    edge.executor.refuse = errors.InvalidArgument("last_day must not be before first_day", violations=(violation,))
    response = await edge.client.get("/api/usage")
    assert response.status_code == 422
    assert response.json()["detail"] == "to must not be before from"
    assert response.json()["errors"] == [{"loc": ["to"], "msg": "must not be before from"}]


async def test_a_key_sees_its_own_tenant_and_needs_the_read_scope(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    keys = {"a": ["read"], "b": ["read"], "c": ["run"]}
    digest = {name: hashlib.sha256(name.encode()).hexdigest() for name in keys}
    file.write_text(
        yaml.safe_dump(
            [{"name": n, "tenant": f"school-{n}", "key_sha256": digest[n], "scopes": s} for n, s in keys.items()]
        )
    )
    async with edge_suite.suite(api_keys_file=str(file)) as edge:
        edge.executor.usage["school-a"] = answer(0.5)
        seen = {}
        for name in keys:
            seen[name] = await edge.client.get("/api/usage", headers={"authorization": f"Bearer {name}"})
        assert len(seen["a"].json()["rows"]) == 1
        assert seen["b"].json()["rows"] == []
        assert seen["c"].status_code == 403
        assert (await edge.client.get("/api/usage")).status_code == 401


async def test_a_spent_budget_is_429_with_the_time_until_midnight(edge: Suite) -> None:
    edge.executor.refuse = errors.ResourceExhausted("the budget is spent", reason="BUDGET_SPENT", retry_after_s=43_199.5)
    response = await edge.client.post("/api/tasks", json={"kind": "conversation", "message": "hi"})
    assert response.status_code == 429
    assert response.headers["retry-after"] == "43200"
    assert response.json()["type"] == "urn:headrace:problem:budget-spent"
