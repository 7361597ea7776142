"""One operator for all namespaces."""

from pathlib import Path
from typing import Any

import yaml

from tests.kube.support.api import SCALERS, Api
from tests.kube.support.executors import Executors
from tests.kube.support.objects import scaler
from tests.kube.support.operator import ACCOUNT, RULES, allow, run_operator
from tests.kube.support.waits import wait_for_replicas

RBAC = "apis/rbac.authorization.k8s.io/v1"


async def test_a_star_means_all_namespaces(api: Api, namespace: str, executors: Executors, tmp_path: Path) -> None:
    token = await allow(api, namespace)
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))["namespaced"]
    binding: dict[str, Any] = {
        "metadata": {"name": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": namespace},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}],
    }
    await api.create(f"{RBAC}/clusterroles", {"metadata": {"name": namespace}, "rules": rules})
    await api.create(f"{RBAC}/clusterrolebindings", binding)
    try:
        executors.queued = 8
        async with run_operator(tmp_path, api.server, token, "*") as operator:
            await api.create(SCALERS.format(namespace), scaler(executors.target))
            await wait_for_replicas(api, namespace, 2)
            assert "orbidden" not in operator.log.read_text(encoding="utf-8")
    finally:
        await api.delete(f"{RBAC}/clusterrolebindings/{namespace}")
        await api.delete(f"{RBAC}/clusterroles/{namespace}")
