"""What the operator may do is what it does, and no more."""

import re

from tests.kube.support.api import Api, until
from tests.kube.support.executors import Executors
from tests.kube.support.operator import ACCOUNT, Operator
from tests.kube.support.waits import rounds, wait_for, wait_for_replicas

MAY = {
    "executorscalers.headrace.dev": {"get", "list", "watch"},
    "executorscalers.headrace.dev/status": {"patch"},
    "deployments.apps": {"get"},
    "deployments.apps/scale": {"patch"},
    "resourcequotas": {"list"},
    "pods": {"list", "patch"},
    "events.events.k8s.io": {"create"},
}
EVERYBODY = re.compile(r"^(selfsubject(access|rules)?reviews\.|selfsubjectreviews\.)")


async def test_the_account_may_do_exactly_this(api: Api, namespace: str, token: str) -> None:
    account = f"--as=system:serviceaccount:{namespace}:{ACCOUNT}"
    listed = await api.kubectl("auth", "can-i", "--list", account, namespace=namespace)
    may: dict[str, set[str]] = {}
    for line in listed.splitlines()[1:]:
        resource, verbs = line.split()[0], line[line.rindex("[") + 1 : line.rindex("]")]
        if not resource.startswith("[") and not EVERYBODY.match(resource):
            may.setdefault(resource, set()).update(verbs.split())
    assert may == MAY
    elsewhere = await api.kubectl("auth", "can-i", "list", "pods", account, namespace="default", check=False)
    assert elsewhere.startswith("no")


async def test_nothing_that_it_does_is_forbidden(
    api: Api, namespace: str, executors: Executors, operator: Operator, made: str
) -> None:
    await wait_for(api, namespace, "Ready", "True", "Reconciled")
    executors.queued = 8
    await wait_for_replicas(api, namespace, 2)
    executors.queued = 0
    await wait_for_replicas(api, namespace, 1)
    await rounds(operator)

    async def listed_again() -> bool:
        _, vitals = await operator.vitals()
        return bool(vitals["list_age_s"] < 1 and vitals["watch_age_s"] is not None)

    await until(listed_again, what="the next list")
    assert "headrace_operator_api_errors_total{" not in await operator.metrics()
    assert "orbidden" not in operator.log.read_text(encoding="utf-8")
