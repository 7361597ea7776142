"""A tools.yaml, what it names, and where its tools may connect: the executors have that, and nobody else."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from headrace_tools.app import open_toolbox

from tests.support import helm, school
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


@pytest.mark.parametrize("preset", helm.PRESETS)
async def test_what_is_mounted_is_a_tools_file_that_the_executor_can_use(preset: str, tmp_path: Path) -> None:
    for name, text in helm.named(helm.preset(preset, VALUES), "ConfigMap", "tools")["data"].items():
        (tmp_path / name).write_text(text)

    async with open_toolbox(tmp_path / "tools.yaml", environment={"SCHOOL_TOKEN": school.TOKEN}) as toolbox:
        assert set(toolbox.tools("anybody")) == set(school.tools())


@pytest.mark.parametrize(
    "text",
    [
        TOOLS.rstrip(),
        f"---\r\n{TOOLS}\n\n",
        f"\n  \n{TOOLS}# {{{{ .Values.logLevel }}}} ${{HOME}} 学校 \t end ",
        'connectors:\n  a: {description: "a: b # c", base_url: "http://x/%7B"}\n',
    ],
)
def test_no_character_of_a_file_is_changed_on_its_way(text: str) -> None:
    objects = helm.preset("node", {"executor.tools": text, "executor.toolFiles": {"a-file": text}})

    assert helm.named(objects, "ConfigMap", "tools")["data"] == {"tools.yaml": text, "a-file": text}


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
