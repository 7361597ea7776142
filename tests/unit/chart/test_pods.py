"""Every pod: confined, probed, and given the time that its drain takes."""

import pytest

from tests.support import helm

everywhere = pytest.mark.parametrize("preset", helm.PRESETS)
SERVICES = ("edge", "router", "planner", "executor", "rag")
SLACK_S = 5
"""What a stop needs beyond its drain: the last calls, the spans, the interpreter."""


@everywhere
def test_every_pod_meets_the_restricted_standard(preset: str) -> None:
    for one in helm.workloads(helm.preset(preset)):
        security = one.pod["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] >= 1
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert one.container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"} & one.pod.keys()
        kinds = {kind for volume in one.pod["volumes"] for kind in volume if kind != "name"}
        assert kinds <= {"configMap", "secret", "emptyDir", "persistentVolumeClaim"}


@everywhere
def test_only_the_operator_has_a_token(preset: str) -> None:
    for one in helm.workloads(helm.preset(preset)):
        assert one.pod["automountServiceAccountToken"] is (one.name == "operator")
        assert ("serviceAccountName" in one.pod) is (one.name == "operator")


@everywhere
def test_services_variables_do_not_pass_for_settings(preset: str) -> None:
    assert all(one.pod["enableServiceLinks"] is False for one in helm.workloads(helm.preset(preset)))


@everywhere
def test_a_root_that_is_read_only_has_a_place_for_temporary_files(preset: str) -> None:
    for one in helm.workloads(helm.preset(preset)):
        assert {"name": "tmp", "mountPath": "/tmp"} in one.container["volumeMounts"]


@everywhere
def test_every_container_is_bounded_and_scheduled_for_what_it_takes(preset: str) -> None:
    for one in helm.workloads(helm.preset(preset)):
        resources = one.container["resources"]
        assert resources["limits"].keys() == resources["requests"].keys() == {"cpu", "memory"}


@everywhere
def test_a_slow_start_is_no_reason_to_be_killed(preset: str) -> None:
    for one in helm.workloads(helm.preset(preset)):
        if one.object["kind"] == "Pod":
            continue
        startup = one.container["startupProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] >= 120
        assert {"livenessProbe", "readinessProbe"} <= one.container.keys()


@everywhere
def test_liveness_depends_on_nobody_else(preset: str) -> None:
    objects = helm.preset(preset)
    for name in ("router", "planner", "executor", "rag"):
        assert helm.workload(objects, name).container["livenessProbe"]["grpc"] == {"port": 50051}
    edge = helm.workload(objects, "edge").container
    assert edge["livenessProbe"]["httpGet"]["path"] == "/api/health/live"
    assert edge["readinessProbe"]["httpGet"]["path"] == "/api/health/ready"


@everywhere
@pytest.mark.parametrize("name", SERVICES)
def test_a_pod_is_not_killed_in_its_drain(preset: str, name: str) -> None:
    one = helm.workload(helm.preset(preset, {f"{name}.drainSeconds": 77}), name)

    prefix = f"HEADRACE_{name.upper()}"
    drain = float(one.env[f"{prefix}_DRAIN_S"]) + float(one.env.get(f"{prefix}_DRAIN_NOTICE_S", 0))
    assert drain >= 77
    assert one.pod["terminationGracePeriodSeconds"] >= drain + SLACK_S


@everywhere
def test_native_threads_do_not_outnumber_the_cores(preset: str) -> None:
    for one in helm.workloads(helm.preset(preset)):
        if one.name in SERVICES:
            assert one.env["OMP_NUM_THREADS"] == one.env["OPENBLAS_NUM_THREADS"] == "1"


@everywhere
def test_a_pod_that_moves_no_state_rolls_without_more_pods_than_the_budget_has(preset: str) -> None:
    objects = helm.preset(preset)
    executor = helm.workload(objects, "executor").object["spec"]["strategy"]
    assert executor["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    edge = helm.workload(objects, "edge").object["spec"]["strategy"]
    assert edge["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    for one in helm.workloads(objects):
        if one.name in ("operator", "simulator"):
            assert one.object["spec"]["strategy"] == {"type": "Recreate"}


def test_replicas_are_spread_over_nodes_where_there_are_some() -> None:
    objects = helm.preset("multinode")
    for name in SERVICES:
        keys = [one["topologyKey"] for one in helm.workload(objects, name).pod["topologySpreadConstraints"]]
        assert keys == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    assert not [one for one in helm.workloads(helm.preset("node")) if "topologySpreadConstraints" in one.pod]


def test_the_operators_rights_end_at_its_namespace() -> None:
    objects = helm.preset("everything")

    assert not [one for one in objects if one["kind"].startswith("Cluster")]
    rules = helm.named(objects, "Role", "operator")["rules"]
    assert {"*"}.isdisjoint(each for rule in rules for part in rule.values() for each in part)
    assert {"secrets", "pods/exec"}.isdisjoint(each for rule in rules for each in rule["resources"])
    (subject,) = helm.named(objects, "RoleBinding", "operator")["subjects"]
    assert subject["name"] == helm.workload(objects, "operator").pod["serviceAccountName"]
