"""What the chart renders: valid objects, which find each other."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.support import helm, kube_schemas

CRDS = helm.CHART.parent / "headrace-crds"
WITHOUT_SCHEMA = "PodMonitor,PrometheusRule,HTTPRoute"
"""Kinds of others' CustomResourceDefinitions."""
MODELS = "models: {own: {model: ollama/qwen3}}"

everywhere = pytest.mark.parametrize("preset", helm.PRESETS)


@pytest.fixture(scope="session")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Folders of schemas: Kubernetes' own and our CRD's."""
    own = tmp_path_factory.mktemp("schemas")
    program = kube_schemas.tool("helm")
    assert program is not None
    argv = (program, "template", "crds", str(CRDS))
    rendered = subprocess.run(argv, capture_output=True, text=True, timeout=helm.TIMEOUT_S, check=True).stdout
    for name, schema in kube_schemas.custom(rendered):
        (own / name).write_text(json.dumps(schema))
    return kube_schemas.folder(), own


def conform(text: str, schemas: tuple[Path, ...]) -> "subprocess.CompletedProcess[str]":
    program = kube_schemas.tool("kubeconform")
    assert program is not None
    locations = [part for one in schemas for part in ("-schema-location", f"{one}/{kube_schemas.LOCATION}")]
    argv = (program, "-strict", "-skip", WITHOUT_SCHEMA, *locations, "-")
    return subprocess.run(argv, input=text, capture_output=True, text=True, timeout=helm.TIMEOUT_S, check=False)


@everywhere
def test_every_object_is_what_the_api_server_takes(preset: str, schemas: tuple[Path, ...]) -> None:
    said = conform(helm.manifest(*helm.PRESETS[preset]), schemas)

    assert said.returncode == 0, said.stdout


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("terminationGracePeriodSeconds", "terminationGraceSeconds"),
        ("failureThreshold: 90", "failureThreshold: ninety"),
        ("minReplicas: 1", "minReplicas: one"),
        ("maxAgeSeconds", "maxAge"),
    ],
)
def test_a_wrong_object_would_be_seen(right: str, wrong: str, schemas: tuple[Path, ...]) -> None:
    text = helm.manifest(*helm.PRESETS["node"])
    assert right in text

    assert conform(text.replace(right, wrong), schemas).returncode != 0


@everywhere
def test_everything_says_what_it_belongs_to_and_is_named_once(preset: str) -> None:
    objects = helm.preset(preset)

    names = [(one["kind"], one["metadata"]["name"]) for one in objects]
    assert len(set(names)) == len(names)
    for one in objects:
        assert one["metadata"]["namespace"] == helm.NAMESPACE
        labels = one["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "headrace"
        assert labels["app.kubernetes.io/instance"] == helm.RELEASE
        assert labels["app.kubernetes.io/part-of"] == "headrace"
        assert {"app.kubernetes.io/component", "app.kubernetes.io/version", "helm.sh/chart"} <= labels.keys()


@everywhere
def test_pods_have_no_label_that_changes_with_the_version(preset: str) -> None:
    for one in helm.workloads(helm.preset(preset)):
        if one.object["kind"] != "Pod":
            assert not {"app.kubernetes.io/version", "helm.sh/chart"} & one.labels.keys()


@everywhere
def test_every_selector_finds_the_pods_of_one_part_and_its_ports(preset: str) -> None:
    objects = helm.preset(preset)
    for one in objects:
        if one["kind"] not in ("Service", "Deployment", "StatefulSet", "PodDisruptionBudget"):
            continue
        selector = one["spec"]["selector"]
        labels = selector if one["kind"] == "Service" else selector["matchLabels"]
        found = [each for each in helm.workloads(objects) if helm.matches(labels, each.labels)]
        assert len(found) == 1, (one["kind"], one["metadata"]["name"])
        if one["kind"] == "Service":
            ports = {port["name"] for port in found[0].container["ports"]}
            assert {port["targetPort"] for port in one["spec"]["ports"]} <= ports


@everywhere
def test_grpc_services_are_headless_so_that_clients_balance(preset: str) -> None:
    objects = helm.preset(preset)
    for name in ("router", "planner", "executor", "rag"):
        assert helm.named(objects, "Service", name)["spec"]["clusterIP"] == "None"


@everywhere
def test_what_is_mounted_or_read_is_there(preset: str) -> None:
    objects = helm.preset(preset)
    there = {(one["kind"], one["metadata"]["name"]) for one in objects}
    given = {"provider", "headrace-postgres", "headrace-valkey"} if preset == "multinode" else {"provider"}
    for one in helm.workloads(objects):
        claims = {claim["metadata"]["name"] for claim in one.object["spec"].get("volumeClaimTemplates", ())}
        volumes = {volume["name"] for volume in one.pod["volumes"]} | claims
        assert {mount["name"] for mount in one.container["volumeMounts"]} == volumes
        for volume in one.pod["volumes"]:
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in there
            if "secret" in volume:
                assert ("Secret", volume["secret"]["secretName"]) in there
        secrets = [each["secretRef"]["name"] for each in one.container.get("envFrom", ())]
        secrets += [each["secretKeyRef"]["name"] for each in one.env.values() if isinstance(each, dict)]
        assert all(("Secret", name) in there or name in given for name in secrets), secrets


def test_the_operator_owns_the_number_of_executors() -> None:
    with_operator, without = helm.preset("node"), helm.preset("node-without-operator")

    assert "replicas" not in helm.workload(with_operator, "executor").object["spec"]
    assert helm.named(with_operator, "ExecutorScaler", "executor")["spec"]["maxReplicas"] == 3
    assert helm.workload(without, "executor").object["spec"]["replicas"] == 2
    assert not [one for one in without if one["kind"] in ("ExecutorScaler", "Role", "ServiceAccount")]


def test_a_scaler_in_use_is_not_pinned_by_the_chart() -> None:
    assert "replicas" not in helm.named(helm.preset("node"), "ExecutorScaler", "executor")["spec"]


def test_the_number_of_edges_is_their_autoscalers() -> None:
    objects = helm.preset("multinode")

    assert "replicas" not in helm.workload(objects, "edge").object["spec"]
    assert helm.workload(objects, "edge").env["HEADRACE_EDGE_ADMISSION_SHARE"] == "0.2500"


@everywhere
def test_an_eviction_of_a_lone_pod_is_never_refused(preset: str) -> None:
    budgets = [one for one in helm.preset(preset) if one["kind"] == "PodDisruptionBudget"]

    assert {one["metadata"]["labels"]["app.kubernetes.io/component"] for one in budgets} == {
        "edge", "router", "planner", "executor", "rag",
    }  # fmt: skip
    assert all(one["spec"]["maxUnavailable"] == 1 and "minAvailable" not in one["spec"] for one in budgets)


@everywhere
def test_what_a_pod_read_at_its_start_is_in_its_annotations(preset: str) -> None:
    for one in helm.workloads(helm.preset(preset)):
        if one.name in ("router", "planner", "executor", "rag"):
            assert {"checksum/models", "checksum/provider"} <= one.template["metadata"]["annotations"].keys()


def test_other_models_restart_those_who_read_them_and_nobody_else() -> None:
    before, after = helm.preset("node"), helm.preset("node", {"provider.models": MODELS})

    old, new = (
        {one.name: one.template["metadata"].get("annotations") for one in helm.workloads(objects)}
        for objects in (before, after)
    )
    assert {name for name in old if old[name] != new[name]} == {"router", "planner", "executor", "rag"}
    assert helm.named(after, "ConfigMap", "models")["data"]["models.yaml"].strip() == MODELS


def test_streams_pass_proxies_unbuffered_and_without_end() -> None:
    objects = helm.preset("everything")

    (rule,) = helm.named(objects, "HTTPRoute", "edge")["spec"]["rules"]
    assert rule["timeouts"] == {"request": "0s", "backendRequest": "0s"}
    annotations = helm.named(objects, "Ingress", "edge")["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/proxy-buffering"] == "off"
    block = helm.named(objects, "ConfigMap", "edge-nginx")["data"]["headrace.conf"]
    assert 'proxy_set_header Connection "";' in block
    assert f"headrace-edge.{helm.NAMESPACE}.svc:80" in block


def test_stores_keep_their_volume_or_take_the_one_that_is_given() -> None:
    made = helm.workload(helm.preset("node", {"postgres.persistence.storageClass": "fast"}), "postgres").object["spec"]
    (claim,) = made["volumeClaimTemplates"]
    assert claim["spec"]["storageClassName"] == "fast"
    assert made["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}

    given = helm.workload(helm.preset("node", {"postgres.persistence.existingClaim": "old"}), "postgres")
    assert "volumeClaimTemplates" not in given.object["spec"]
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "old"}} in given.pod["volumes"]

    assert {"name": "data", "emptyDir": {}} in helm.workload(helm.preset("dev"), "postgres").pod["volumes"]
