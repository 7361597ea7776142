"""`python -m tests.eval.planner --models-file models.yaml --model NAME`: how well a model plans, as a table.

Twenty requests, each asked once and in turn at the quota's pace: about 20 to 60 calls. A plan is always valid; what differs
is where it comes from (model, repaired, template) and whether it has what its request asks for.
"""

import argparse
import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
from headrace_llm import app as llm
from headrace_llm.client import ModelClient
from headrace_llm.settings import LlmSettings
from headrace_planner import library
from headrace_planner.adapters.model_drafter import ModelDrafter
from headrace_planner.drafting import Limits
from headrace_planner.model import Intent, Origin, Plan, Request
from headrace_planner.service import Planner
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from tests.eval.planner_cases import CASES, TOOLS, Case

TIMEOUT_S = 180.0
"""Longest that one plan may take, repairs and the quota's queue included."""
REDIS_URL = "redis://127.0.0.1:6379/0"
"""Where the quota is shared; while it is away this process keeps the pace by itself."""
MAX_MESSAGE = 48


@dataclass(frozen=True, slots=True)
class Result:
    """A case's plan and what it lacks."""

    case: Case
    plan: Plan
    lacks: Sequence[str]


def lacks(case: Case, blueprint: Mapping[str, Any]) -> Sequence[str]:
    """What a plan does not have that its request asks for."""
    nodes = blueprint["nodes"]
    simple = [node.get("node", node) for node in nodes]
    called = {node["tool"] for node in simple if node["kind"] == "data"}
    text = orjson.dumps(blueprint).decode()
    found = [f"tool {tool}" for tool in case.tools if tool not in called]
    found += [name for name in case.mentions if name not in text]
    if case.maps and not any(node["kind"] == "map" for node in nodes):
        found.append("map")
    if case.retrieves and "search" not in called and not any(node["kind"] == "retrieve" for node in nodes):
        found.append("search")
    if len(blueprint.get("layout", ())) < case.slots:
        found.append(f"{case.slots} slots")
    return found


async def results(models: ModelClient, cases: Sequence[Case]) -> AsyncIterator[Result]:
    """Plan each case in turn."""
    planner = Planner(library.load(), ModelDrafter(models, slots=1), limits=Limits(plan_timeout_s=TIMEOUT_S))
    for case in cases:
        request = Request("eval", Intent.BUILD, case.message, tool_specs=TOOLS, entities=case.entities)
        plan = await planner.plan(request, budget_s=None)
        yield Result(case, plan, lacks(case, plan.blueprint))


def table(found: Sequence[Result], title: str) -> Table:
    """The results, and their sums in the footer."""
    made = Table(title=title, title_justify="left", show_footer=True)
    origins = Counter(one.plan.origin for one in found)
    total = sum((one.plan.usage.total for one in found[1:]), found[0].plan.usage.total)
    whole = sum(not one.lacks for one in found)
    shown = "  ".join(f"{origin.value} {origins[origin]}" for origin in (Origin.MODEL, Origin.REPAIRED, Origin.TEMPLATE))
    made.add_column("request", footer=f"{len(found)} requests")
    made.add_column("plan", footer=shown)
    made.add_column("lacks", footer=f"{whole} lack nothing")
    made.add_column("calls", justify="right", footer=str(total.llm_calls))
    made.add_column("tokens", justify="right", footer=f"{total.prompt_tokens}+{total.completion_tokens}")
    made.add_column("USD", justify="right", footer=_usd(total.cost_usd))
    for one in found:
        used = one.plan.usage.total
        tokens = f"{used.prompt_tokens}+{used.completion_tokens}"
        lacking = ", ".join(one.lacks) or "–"
        message = one.case.message[:MAX_MESSAGE]
        made.add_row(message, one.plan.origin.value, lacking, str(used.llm_calls), tokens, _usd(used.cost_usd))
    return made


def _usd(cost: float | None) -> str:
    return "–" if cost is None else f"{cost:.4f}"


async def evaluate(models_file: Path, model: str, cases: Sequence[Case], console: Console) -> None:
    """Ask and print. Raises `UnknownModel` and `InvalidFile`."""
    url = SecretStr(os.environ.get("HEADRACE_LLM_REDIS_URL", REDIS_URL))
    settings = LlmSettings(models_file=models_file, redis_url=url)
    registry = llm.load_registry(settings)
    entry = registry.resolve(model, role="planner")
    registry = replace(registry, roles={**registry.roles, "planner": entry.id})
    found: list[Result] = []
    async with llm.model_client(settings, registry) as models:
        async for one in results(models, cases):
            found.append(one)
            console.print(
                f"{len(found)}/{len(cases)} {one.plan.origin.value}: {' '.join(one.plan.warnings) or 'no warning'}"
            )
    console.print(table(found, f"Plans by {entry.id} ({entry.model})"))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.eval.planner", description=__doc__)
    parser.add_argument("--models-file", type=Path, required=True, help="as HEADRACE_LLM_MODELS_FILE")
    parser.add_argument("--model", default="", help="of that file; its planner unless given")
    parser.add_argument("--cases", type=int, default=len(CASES), help="ask the first so many only")
    asked = parser.parse_args()
    asyncio.run(evaluate(asked.models_file, asked.model, CASES[: max(1, asked.cases)], Console()))


if __name__ == "__main__":
    main()
