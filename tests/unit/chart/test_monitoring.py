"""Alerts and dashboards speak of metrics that there are, and each alert of a paragraph that says what to do."""

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import prometheus_client
import pytest
import yaml

from tests.support import helm

FILES = helm.CHART / "files"
DASHBOARDS = sorted((FILES / "dashboards").glob("*.json"))
METRICS = (
    "headrace_llm.metrics", "headrace_edge.metrics", "headrace_executor.metrics", "headrace_executor.engine.metrics",
    "headrace_planner.metrics", "headrace_rag.metrics", "headrace_router.metrics", "headrace_operator.metrics",
)  # fmt: skip
SAMPLE = re.compile(r"\bheadrace_[a-z0-9_]+")
LABELS = re.compile(r"(headrace_[a-z0-9_]+)\{([^}]*)\}")


def rules() -> list[dict[str, str]]:
    (group,) = yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"]
    return list(group["rules"])


def expressions() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for file in DASHBOARDS:
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{file.name}: {panel['title']}", target["expr"]


def samples() -> dict[str, tuple[str, ...]]:
    """The names of all series, with their labels."""
    found: dict[str, tuple[str, ...]] = {}
    for module in METRICS:
        for value in vars(importlib.import_module(module)).values():
            if isinstance(value, prometheus_client.metrics.MetricWrapperBase):
                (family,) = value.describe()
                names = {
                    "counter": (f"{family.name}_total",),
                    "gauge": (family.name,),
                    "histogram": tuple(f"{family.name}_{end}" for end in ("bucket", "count", "sum")),
                }[family.type]
                found |= dict.fromkeys(names, (*value._labelnames, "le"))
    return found


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_an_expression_names_series_that_there_are(where: str, expression: str) -> None:
    known = samples()

    assert set(SAMPLE.findall(expression)) <= known.keys(), where
    for name, matchers in LABELS.findall(expression):
        assert {matcher.split("=")[0].rstrip("!") for matcher in matchers.split(",")} <= set(known[name]), where
    assert expression.count("(") == expression.count(")")


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_each_alert_has_a_paragraph_that_says_what_to_do(rule: dict[str, dict[str, str]]) -> None:
    text = (helm.CHART.parents[1] / "docs/operations.md").read_text()
    _, _, after = text.partition(f"\n### {rule['alert']}\n")

    assert len(after.split("\n### ")[0].split()) > 25
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"]


def test_no_paragraph_is_left_of_an_alert_that_is_gone() -> None:
    text = (helm.CHART.parents[1] / "docs/operations.md").read_text()

    assert set(re.findall(r"^### (Headrace\w+)$", text, re.MULTILINE)) == {rule["alert"] for rule in rules()}


def test_the_rules_and_dashboards_are_installed_as_they_are() -> None:
    objects = helm.preset("everything")

    assert helm.named(objects, "PrometheusRule", "alerts")["spec"] == yaml.safe_load((FILES / "alerts.yaml").read_text())
    data = helm.named(objects, "ConfigMap", "dashboards")["data"]
    assert {name: json.loads(text) for name, text in data.items()} == {
        file.name: json.loads(file.read_text()) for file in DASHBOARDS
    }


def test_the_monitor_finds_the_pods_that_have_metrics() -> None:
    objects = helm.preset("everything")
    spec = helm.named(objects, "PodMonitor", "pods")["spec"]
    (endpoint,) = spec["podMetricsEndpoints"]

    found = {
        one.name
        for one in helm.workloads(objects)
        if helm.matches(spec["selector"]["matchLabels"], one.labels)
        and endpoint["port"] in {port["name"] for port in one.container.get("ports", ())}
    }
    assert found == {"edge", "router", "planner", "executor", "rag", "operator"}


def test_panels_do_not_lie_on_each_other() -> None:
    for file in DASHBOARDS:
        board = json.loads(file.read_text())
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
        assert len(set(places)) == len(places)
        assert len({panel["id"] for panel in board["panels"]}) == len(places)


def test_the_commands_of_the_handbook_name_objects_that_there_are() -> None:
    objects = helm.preset("node")
    names = {one["metadata"]["name"] for one in objects}
    text = (helm.CHART.parents[1] / "docs/operations.md").read_text()

    for kind, name in re.findall(r"\b(deployment|statefulset|secret)/?\s?(headrace-[a-z-]+)(?:\b(?!\{))", text):
        assert name in names, (kind, name)
    assert Path(helm.CHART.parents[1] / "helm/headrace-crds").is_dir()
