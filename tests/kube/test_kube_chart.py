"""The chart on a real API server: what it takes, what an upgrade leaves alone, what the quota refuses."""

import asyncio
import base64
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from headrace_operator import quantities

from tests.kube.support.api import APPLY, DEPLOYMENTS, PODS, Api, Refused, until
from tests.support import helm

OWNER = "headrace-operator"
STRANGER_CPU = "3"
DEV = ("-f", str(helm.CHART / "values-dev.yaml"))


class Release:
    """One release of the chart in a namespace of its own."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api, self.namespace = api, namespace

    async def helm(self, *arguments: str) -> str:
        argv = (helm.required("helm"), "--kubeconfig", str(self.api.kubeconfig), "--namespace", self.namespace, *arguments)
        done = await asyncio.to_thread(
            subprocess.run, argv, capture_output=True, text=True, timeout=helm.TIMEOUT_S, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    async def upgrade(self, *arguments: str) -> str:
        return await self.helm("upgrade", "--install", helm.RELEASE, str(helm.CHART), *DEV, *arguments)

    async def executors(self) -> int:
        found = await self.api.get(f"{DEPLOYMENTS.format(self.namespace)}/headrace-executor")
        return int(found["spec"]["replicas"])

    async def scale(self, replicas: int) -> None:
        """As the operator does at first, when the number is nobody's."""
        path = f"{DEPLOYMENTS.format(self.namespace)}/headrace-executor/scale"
        body = {"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": replicas}}
        await self.api.request("PATCH", path, body, kind=APPLY, fieldManager=OWNER, force="true")

    async def secret(self, name: str, key: str) -> str:
        found = await self.api.get(f"api/v1/namespaces/{self.namespace}/secrets/headrace-{name}")
        return base64.b64decode(found["data"][key]).decode()


@pytest.fixture
async def release(api: Api, tmp_path: Path) -> AsyncIterator[Release]:
    """The chart installed in a namespace where pods must be restricted."""
    name = f"chart-{tmp_path.name[-8:].strip('_').lower().replace('_', '-')}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    await api.create("api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
    made = Release(api, name)
    await made.upgrade()
    yield made
    await made.helm("uninstall", helm.RELEASE)
    await api.delete(f"api/v1/namespaces/{name}")


async def test_every_part_gets_its_pod_under_the_restricted_standard_and_the_quota(api: Api, release: Release) -> None:
    wanted = {"edge", "router", "planner", "executor", "rag", "operator", "simulator", "postgres", "valkey"}

    async def made() -> bool:
        pods = (await api.get(PODS.format(release.namespace)))["items"]
        return {pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in pods} == wanted

    await until(made, what="the pods")


async def test_upgrades_and_rollbacks_leave_the_number_of_executors_to_the_operator(release: Release) -> None:
    assert await release.executors() == 1
    await release.scale(3)

    await release.upgrade("--set", "logLevel=debug")
    assert await release.executors() == 3
    await release.scale(2)
    await release.helm("rollback", helm.RELEASE)
    assert await release.executors() == 2


async def test_keys_and_passwords_stay_through_upgrades(release: Release) -> None:
    names = (("postgres", "password"), ("postgres", "url"), ("valkey", "password"), ("edge-keys", "api-key"))
    before = [await release.secret(*name) for name in names]

    await release.upgrade("--set", "logLevel=debug")

    assert [await release.secret(*name) for name in names] == before


async def test_a_password_that_was_rotated_is_not_taken_back(api: Api, release: Release) -> None:
    path = f"api/v1/namespaces/{release.namespace}/secrets/headrace-postgres"
    url = "postgresql://headrace:new@headrace-postgres:5432/headrace"
    await api.merge(path, {"stringData": {"password": "new", "url": url}}, manager="kubectl-patch")

    await release.upgrade("--set", "logLevel=debug")

    assert (await release.secret("postgres", "password"), await release.secret("postgres", "url")) == ("new", url)


async def test_what_does_not_fit_the_budget_is_refused_whoever_asks(api: Api, release: Release) -> None:
    async def counted() -> bool:
        quota = await api.get(f"api/v1/namespaces/{release.namespace}/resourcequotas/headrace-budget")
        status = quota.get("status", {})
        used, hard = (quantities.parse(status.get(name, {}).get("limits.cpu", "0")) for name in ("used", "hard"))
        return used + quantities.parse(STRANGER_CPU) > hard > 0

    await until(counted, what="the quota's count")
    amounts = {"cpu": STRANGER_CPU, "memory": "64Mi"}
    stranger = {
        "metadata": {"name": "stranger"},
        "spec": {
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "stranger",
                    "image": "stranger",
                    "resources": {"limits": amounts, "requests": amounts | {"cpu": "1m"}},
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
        },
    }
    with pytest.raises(Refused, match="exceeded quota"):
        await api.create(PODS.format(release.namespace), stranger)


async def test_the_data_outlives_the_release(api: Api, release: Release) -> None:
    kept = ("--set", "postgres.persistence.enabled=true")
    claims = f"api/v1/namespaces/{release.namespace}/persistentvolumeclaims"

    async def claimed() -> bool:
        return [one["metadata"]["name"] for one in (await api.get(claims))["items"]] == ["data-headrace-postgres-0"]

    await release.helm("uninstall", helm.RELEASE)  # a StatefulSet's claims cannot be added later
    await release.upgrade(*kept)
    await until(claimed, what="the claim")
    await release.helm("uninstall", helm.RELEASE)
    assert await claimed()
    await release.upgrade(*kept)
