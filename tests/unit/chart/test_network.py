"""Who may talk to whom, as the rendered policies say it."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import helm

MODEL_USERS = ("router", "planner", "executor", "rag")
INSIDE = {
    ("edge", "executor", 50051), ("edge", "rag", 50051),
    ("executor", "router", 50051), ("executor", "planner", 50051), ("executor", "rag", 50051),
    ("operator", "executor", 50051),
    ("executor", "postgres", 5432), ("rag", "postgres", 5432),
    *((one, "valkey", 6379) for one in MODEL_USERS),
    ("test", "edge", 8080),
}  # fmt: skip
"""The flows of docs/architecture.md."""
PROVIDER = {(one, "provider", 443) for one in MODEL_USERS}
STORES = {(one, "stores", port) for one in MODEL_USERS for port in (5432, 6379)}
API_SERVER = {("operator", "api-server", 443), ("operator", "api-server", 6443)}
RESOLVERS = {*MODEL_USERS, "edge", "operator", "test"}
EXPECTED = {
    "defaults": INSIDE | PROVIDER | API_SERVER,
    "node": INSIDE | PROVIDER | API_SERVER,
    "node-simulated": INSIDE | API_SERVER | {(one, "simulator", 8090) for one in MODEL_USERS},
    "node-without-operator": {flow for flow in INSIDE if flow[0] != "operator"} | PROVIDER,
    "dev": INSIDE | API_SERVER | {(one, "simulator", 8090) for one in MODEL_USERS},
    "multinode": {flow for flow in INSIDE if flow[1] not in ("postgres", "valkey")} | PROVIDER | STORES | API_SERVER,
    "everything": INSIDE | PROVIDER | API_SERVER,
}

everywhere = pytest.mark.parametrize("preset", helm.PRESETS)


def policies(objects: list[helm.Object], one: helm.Workload) -> Iterator[helm.Object]:
    """The specs of the policies that select a part's pods."""
    for each in objects:
        if each["kind"] == "NetworkPolicy" and helm.matches(each["spec"]["podSelector"]["matchLabels"], one.labels):
            yield each["spec"]


def rules(objects: list[helm.Object], one: helm.Workload, direction: str) -> Iterator[tuple[set[int], list[Any] | None]]:
    """Ports, and peers or None for anybody, of each rule."""
    for spec in policies(objects, one):
        for rule in spec.get(direction) or ():
            peers = rule.get("from" if direction == "ingress" else "to")
            yield {port["port"] for port in rule["ports"]}, peers


def admitted(peers: list[Any] | None, other: helm.Workload) -> bool:
    return peers is None or any(
        set(peer) == {"podSelector"} and helm.matches(peer["podSelector"]["matchLabels"], other.labels) for peer in peers
    )


def flows(objects: list[helm.Object]) -> set[tuple[str, str, int]]:
    """What one part's egress and the other's ingress both allow, and what leaves for addresses outside."""
    found = set()
    parts = list(helm.workloads(objects))
    for one in parts:
        for ports, peers in rules(objects, one, "egress"):
            if ports in ({53}, {4317}):  # the tests below have these
                continue
            assert peers is not None, (one.name, "may go anywhere")
            for other in parts:
                if other is not one and admitted(peers, other):
                    taken = {port for open_, by in rules(objects, other, "ingress") if admitted(by, one) for port in open_}
                    found |= {(one.name, other.name, port) for port in ports & taken}
            if any("ipBlock" in peer for peer in peers):
                found |= {(one.name, outside(peers, ports), port) for port in ports}
    return found


def outside(peers: list[Any], ports: set[int]) -> str:
    if ports == {443}:
        assert all("169.254.0.0/16" in peer["ipBlock"]["except"] for peer in peers), "the cloud's metadata stay closed"
        return "provider"
    return "stores" if 5432 in ports else "api-server"


@everywhere
def test_the_flows_are_those_of_the_architecture_and_no_others(preset: str) -> None:
    objects = helm.preset(preset)

    assert flows(objects) == EXPECTED[preset]


@everywhere
def test_what_no_rule_names_is_denied_both_ways(preset: str) -> None:
    objects = helm.preset(preset)
    for one in helm.workloads(objects):
        selecting = list(policies(objects, one))
        assert len(selecting) == 2, one.name
        assert all(spec["policyTypes"] == ["Ingress", "Egress"] for spec in selecting)
        (deny,) = (spec for spec in selecting if "ingress" not in spec)
        assert "egress" not in deny


@everywhere
def test_those_who_look_up_names_may_and_nobody_else(preset: str) -> None:
    objects = helm.preset(preset)
    found = {one.name for one in helm.workloads(objects) for ports, _ in rules(objects, one, "egress") if 53 in ports}

    assert found == RESOLVERS & {one.name for one in helm.workloads(objects)}


@everywhere
def test_anybody_may_call_the_edge_and_prometheus_alone_reads_metrics(preset: str) -> None:
    objects = helm.preset(preset)
    for one in helm.workloads(objects):
        open_ = {port for ports, peers in rules(objects, one, "ingress") if peers is None for port in ports}
        assert open_ == ({8080} if one.name == "edge" else set())
        metered = [peers for ports, peers in rules(objects, one, "ingress") if 9090 in ports]
        declared = {"name": "metrics", "containerPort": 9090} in one.container.get("ports", ())
        assert bool(metered) is declared
        for peers in metered:
            assert peers is not None
            (peer,) = peers
            assert peer["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "prometheus"}


def test_without_metrics_nobody_listens_or_may_ask() -> None:
    objects = helm.preset("node", {"metrics.enabled": False})
    for one in helm.workloads(objects):
        assert not [name for name in one.env if name.endswith("METRICS_LISTEN")]
        assert not [ports for ports, _ in rules(objects, one, "ingress") if 9090 in ports]


def test_who_may_call_the_edge_can_be_narrowed_and_the_test_still_may() -> None:
    gateway = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "gateway"}}}
    objects = helm.preset("node", {"networkPolicy.edgeFrom": [gateway]})

    edge, test = helm.workload(objects, "edge"), helm.workload(objects, "test")
    (peers,) = (peers for ports, peers in rules(objects, edge, "ingress") if 8080 in ports)
    assert peers is not None
    assert gateway in peers
    assert admitted(peers, test)
    assert not admitted(peers, helm.workload(objects, "rag"))


def test_spans_may_leave_for_the_collector() -> None:
    objects = helm.preset("everything")
    for name in (*MODEL_USERS, "edge"):
        assert ({4317}, None) in list(rules(objects, helm.workload(objects, name), "egress"))
    assert ({4317}, None) not in list(rules(objects, helm.workload(objects, "postgres"), "egress"))
