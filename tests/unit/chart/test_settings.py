"""What the chart gives a service is what the service takes, and what `headrace up` gives it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from headrace_cli.embedded import simulator
from headrace_cli.supervisor import models, plan
from headrace_edge import auth
from headrace_edge.settings import Settings as Edge
from headrace_executor.settings import Settings as Executor
from headrace_llm import models_file
from headrace_llm.settings import LlmSettings
from headrace_operator.settings import Settings as Operator
from headrace_planner.settings import Settings as Planner
from headrace_rag.settings import Settings as Rag
from headrace_router.settings import Settings as Router
from headrace_simulator.settings import load as load_profile
from pydantic_settings import BaseSettings

from tests.support import helm

SERVICES: dict[str, type[BaseSettings]] = {
    "edge": Edge, "router": Router, "planner": Planner, "executor": Executor, "rag": Rag, "operator": Operator,
}  # fmt: skip
LOCAL_ONLY = {"DRAIN_S", "LISTEN"}
everywhere = pytest.mark.parametrize("preset", helm.PRESETS)


def settings(one: helm.Workload, prefix: str) -> dict[str, Any]:
    """The variables with that prefix; a Secret's are told by their key."""
    given = {name.removeprefix(prefix): value for name, value in one.env.items() if name.startswith(prefix)}
    return {
        name: f"secret://{value['secretKeyRef']['key']}" if isinstance(value, dict) else value
        for name, value in given.items()
    }


@everywhere
@pytest.mark.parametrize("name", SERVICES)
def test_every_setting_is_one_of_the_services_and_in_its_bounds(
    preset: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in helm.workloads(helm.preset(preset)):
        if one.name != name:
            continue
        prefix = f"HEADRACE_{name.upper()}_"
        given = settings(one, prefix)
        assert {each.lower() for each in given} <= SERVICES[name].model_fields.keys()
        for each, value in given.items():
            monkeypatch.setenv(prefix + each, value)
        SERVICES[name]()
        assert {each.lower() for each in settings(one, "HEADRACE_LLM_")} <= LlmSettings.model_fields.keys()


@pytest.mark.parametrize("name", ["edge", "router", "planner", "executor", "rag"])
def test_a_service_is_told_what_it_is_told_on_one_machine(name: str) -> None:
    layout = plan.Layout(edge=1, router=2, planner=3, rag=4, executors=(5,))
    local = {part.name: part.program.env for part in plan.services(layout, plan.Backing("db", "redis", "models"))}

    assert local[name].keys() <= helm.workload(helm.preset("dev"), name).env.keys()


@everywhere
def test_the_models_file_is_one(preset: str) -> None:
    text = helm.named(helm.preset(preset), "ConfigMap", "models")["data"]["models.yaml"]

    assert models_file.parse(text).models


def test_the_simulated_model_is_that_of_one_machine(tmp_path: Path) -> None:
    objects = helm.preset("dev", {"provider.simulated.rpm": 90})
    there = models_file.parse(helm.named(objects, "ConfigMap", "models")["data"]["models.yaml"])
    url = "http://headrace-simulator:8090/v1"
    local = models.write(models.simulated(90), tmp_path / "models.yaml", local_url=url)

    assert there == models_file.parse(local.read_text())
    assert there.default == simulator.NAME


def test_the_simulators_profile_is_one(tmp_path: Path) -> None:
    objects = helm.preset("dev", {"provider.simulated.rpm": 90, "provider.simulated.profile": {"faults": {"error": 0.5}}})
    file = tmp_path / "profile.yaml"
    file.write_text(helm.named(objects, "ConfigMap", "simulator")["data"]["profile.yaml"])

    read = load_profile(file)
    assert (read.rpm, read.faults.error) == (90, 0.5)
    assert "--profile" in helm.workload(objects, "simulator").container["args"]


def test_the_edge_knows_the_key_that_is_made_and_those_that_are_given(tmp_path: Path) -> None:
    digest = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"
    objects = helm.preset("node", {"edge.apiKeys.entries": [{"name": "school", "tenant": "s1", "key_sha256": digest}]})
    secret = helm.named(objects, "Secret", "edge-keys")["stringData"]
    (tmp_path / "keys.yaml").write_text(secret["keys.yaml"])

    keys = auth.read_keys(tmp_path / "keys.yaml", {}, requests_per_minute=1, max_streams=1)
    made = keys.find(secret["api-key"])
    assert made is not None
    assert (made.tenant, len(made.scopes)) == ("default", len(auth.Scope))
    given = keys.find("password")
    assert given is not None
    assert given.tenant == "s1"


def test_each_install_has_keys_and_passwords_of_its_own() -> None:
    first, second = (helm.preset("node", {"logLevel": level}) for level in ("info", "debug"))
    for name in ("edge-keys", "postgres", "valkey"):
        assert helm.named(first, "Secret", name)["stringData"] != helm.named(second, "Secret", name)["stringData"]


@pytest.mark.parametrize(("name", "scheme"), [("postgres", "postgresql://headrace:"), ("valkey", "redis://:")])
def test_a_stores_address_has_its_password_and_its_service(name: str, scheme: str) -> None:
    objects = helm.preset("node")
    secret = helm.named(objects, "Secret", name)["stringData"]
    (port,) = helm.named(objects, "Service", name)["spec"]["ports"]

    assert secret["url"].startswith(f"{scheme}{secret['password']}@headrace-{name}:{port['port']}/")


@everywhere
def test_each_target_is_a_service_and_its_port(preset: str) -> None:
    objects = helm.preset(preset)
    for one in helm.workloads(objects):
        for name, value in one.env.items():
            if not name.endswith("_TARGET"):
                continue
            target = re.fullmatch(r"dns:///headrace-([a-z]+):(\d+)", value)
            assert target is not None, value
            (port,) = helm.named(objects, "Service", target[1])["spec"]["ports"]
            assert port["port"] == int(target[2])


@everywhere
def test_without_valkey_the_processes_together_keep_to_the_quota(preset: str) -> None:
    objects = helm.preset(preset)
    processes = shares = 0.0
    for one in helm.workloads(objects):
        if share := one.env.get("HEADRACE_LLM_FALLBACK_SHARE"):
            replicas = one.object["spec"].get("replicas")
            if replicas is None:
                replicas = helm.named(objects, "ExecutorScaler", "executor")["spec"]["maxReplicas"]
            processes += replicas
            shares += replicas * float(share)
    assert processes >= 4
    assert 0.99 <= shares <= 1.001


def test_a_setting_that_is_given_takes_the_place_of_the_charts() -> None:
    objects = helm.preset("node", {"executor.env": {"HEADRACE_EXECUTOR_SLOTS": 7, "HEADRACE_EXECUTOR_NOTICE_S": 1.5}})

    env = helm.workload(objects, "executor").env
    assert (env["HEADRACE_EXECUTOR_SLOTS"], env["HEADRACE_EXECUTOR_NOTICE_S"]) == ("7", "1.5")


def test_keys_that_are_given_reach_those_who_call_models_and_nobody_else() -> None:
    objects = helm.preset("everything")
    assert helm.named(objects, "Secret", "provider")["stringData"] == {"DASHSCOPE_API_KEY": "a-key"}
    for one in helm.workloads(objects):
        given = one.container.get("envFrom", [])
        expected = (
            [{"secretRef": {"name": "headrace-provider"}}] if one.name in ("router", "planner", "executor", "rag") else []
        )
        assert given == expected, one.name


def test_the_operators_rules_are_those_of_the_file() -> None:
    rules = yaml.safe_load((helm.CHART / "files/operator-rules.yaml").read_text())["namespaced"]

    assert helm.named(helm.preset("node"), "Role", "operator")["rules"] == rules
