"""A tools.yaml, what it names, and where its tools may connect: the executors have that, and nobody else."""

from typing import Any

import yaml

from tests.support import helm
from tests.support.school import SCHOOL

TOOLS = (SCHOOL / "tools.yaml").read_text()
SPEC = (SCHOOL / "openapi.json").read_text()
SECRET = {"name": "SCHOOL_TOKEN", "secretName": "school", "key": "token"}
EGRESS = {"to": [{"podSelector": {"matchLabels": {"app": "school"}}}], "ports": [{"port": 8090}]}
VALUES: dict[str, Any] = {
    "executor.tools": TOOLS,
    "executor.toolFiles": {"openapi.json": SPEC},
    "executor.toolSecrets": [SECRET],
    "executor.toolEgress": [EGRESS],
}
TOOLS_FILE = "HEADRACE_EXECUTOR_TOOLS_FILE"
PLACE = "/etc/headrace/tools"


def annotation(objects: list[helm.Object]) -> str:
    return str(helm.workload(objects, "executor").template["metadata"]["annotations"]["checksum/tools"])


def egress(objects: list[helm.Object], name: str) -> list[Any]:
    return list(helm.named(objects, "NetworkPolicy", name)["spec"]["egress"])


def test_the_executors_find_the_file_and_beside_it_what_it_names() -> None:
    objects = helm.preset("node", VALUES)
    executor = helm.workload(objects, "executor")

    assert executor.env[TOOLS_FILE] == f"{PLACE}/tools.yaml"
    assert {"name": "tools", "mountPath": PLACE, "readOnly": True} in executor.container["volumeMounts"]
    data = helm.named(objects, "ConfigMap", "tools")["data"]
    assert data == {"tools.yaml": TOOLS, "openapi.json": SPEC}
    assert yaml.safe_load(data["tools.yaml"])["connectors"]["school"]["spec"] == "./openapi.json"


def test_its_secrets_come_from_secrets_and_stand_in_no_object() -> None:
    executor = helm.workload(helm.preset("node", VALUES), "executor")

    assert executor.env["SCHOOL_TOKEN"] == {"secretKeyRef": {"name": "school", "key": "token"}}


def test_nobody_else_has_them() -> None:
    for one in helm.workloads(helm.preset("node", VALUES)):
        if one.name != "executor":
            assert not {TOOLS_FILE, "SCHOOL_TOKEN"} & set(one.env)
            assert "tools" not in {volume["name"] for volume in one.pod["volumes"]}


def test_a_change_of_any_file_rolls_the_executors_and_them_alone() -> None:
    objects = helm.preset("node", VALUES)
    other_spec = helm.preset("node", VALUES | {"executor.toolFiles": {"openapi.json": "{}"}})
    other_tools = helm.preset("node", VALUES | {"executor.tools": TOOLS + "\n# changed"})

    assert len({annotation(one) for one in (objects, other_spec, other_tools)}) == 3
    for one in helm.workloads(objects):
        if one.name != "executor":
            assert one.template == helm.workload(other_tools, one.name).template


def test_tools_connect_where_the_values_say_and_the_rule_is_the_executors_alone() -> None:
    without, objects = helm.preset("node"), helm.preset("node", VALUES)

    assert [rule for rule in egress(objects, "executor") if rule not in egress(without, "executor")] == [EGRESS]
    for one in ("edge", "router", "planner", "rag", "operator", "postgres", "valkey"):
        assert egress(objects, one) == egress(without, one)


def test_without_a_tools_file_there_is_nothing_of_it() -> None:
    objects = helm.preset("node")

    assert TOOLS_FILE not in helm.workload(objects, "executor").env
    assert not [one for one in objects if one["metadata"]["name"] == "headrace-tools"]
