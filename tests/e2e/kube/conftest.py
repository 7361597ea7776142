"""One installation for the session, by the commands of the README, and taken away at the end."""

import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.kube.cluster import CRDS, NAMESPACE, RELEASE, Cluster, run
from tests.e2e.suite import Suite

SETTINGS = (
    "provider.simulated.enabled=true",
    "provider.simulated.rpm=600",
    "edge.service.type=NodePort",
    "executor.slots=8",
    "executor.scaling.scaleDown.stabilizationSeconds=20",
    "executor.scaling.scaleDown.periodSeconds=10",
)
"""Beside the chart's defaults: what a test must provoke, and windows that it can wait for."""
IMAGES = os.environ.get("HEADRACE_IMAGES", "")
"""REGISTRY of the images, where it is not the chart's."""
VOLUMES = 2


@pytest.fixture(scope="session")
def volumes() -> Iterator[None]:
    """Volumes of the node's disk where the cluster has nobody who makes them."""
    if json.loads(run("kubectl", "get", "storageclasses", "-o", "json"))["items"]:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="headrace-volumes-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        for number in range(VOLUMES):
            place = Path(folder, str(number))
            place.mkdir()
            place.chmod(0o777)
            run("kubectl", "apply", "-f", "-", stdin=json.dumps(_volume(number, place)))
        yield
        for number in range(VOLUMES):
            run("kubectl", "delete", "pv", f"headrace-e2e-{number}", "--wait=false")


def _volume(number: int, place: Path) -> object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"headrace-e2e-{number}"},
        "spec": {
            "capacity": {"storage": "20Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(place), "type": "Directory"},
        },
    }


@pytest.fixture(scope="session")
def installed(volumes: None) -> Iterator[tuple[Cluster, float]]:
    """The suite, and the seconds from `helm install` until it answered a question."""
    if "KUBECONFIG" not in os.environ:
        pytest.fail("set KUBECONFIG to a cluster whose nodes have the images of `make images`", pytrace=False)
    cluster = Cluster()
    run("helm", "upgrade", "--install", CRDS, f"helm/{CRDS}")
    settings = [*SETTINGS, *([f"image.registry={IMAGES}"] if IMAGES else [])]
    given = [word for one in settings for word in ("--set", one)]
    started = time.monotonic()
    try:
        run("helm", "install", RELEASE, "helm/headrace", "-n", NAMESPACE, "--create-namespace", *given)
        run("helm", "test", RELEASE, "-n", NAMESPACE, "--timeout", "5m")
        seconds = time.monotonic() - started
        cluster.ready()
        yield cluster, seconds
    finally:
        print(run("kubectl", "-n", NAMESPACE, "get", "pods,executorscalers", "-o", "wide", check=False))
        run("helm", "uninstall", RELEASE, "-n", NAMESPACE, "--ignore-not-found", check=False)
        run("kubectl", "delete", "namespace", NAMESPACE, "--ignore-not-found", check=False)
        run("helm", "uninstall", CRDS, "--ignore-not-found", check=False)


@pytest.fixture
def cluster(installed: tuple[Cluster, float]) -> Cluster:
    """The suite with a provider that answers in a second and grants 600 calls a minute."""
    found = installed[0]
    found.provider(
        {
            "rpm": 600,
            "factor": 1,
            "latency": {"first_token_s": 0.6, "sigma": 0.3, "tokens_per_s": 80},
            "answer": {"tokens": 60},
        }
    )
    return found


@pytest.fixture
def suite(cluster: Cluster) -> Suite:
    """Its edge from outside."""
    return cluster.suite()
