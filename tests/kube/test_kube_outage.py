"""The API server goes away and comes back."""

from typing import Any

from tests.kube.conftest import Start
from tests.kube.support.api import SCALERS, Api, until
from tests.kube.support.executors import Executors
from tests.kube.support.objects import scaler
from tests.kube.support.waits import rounds, wait_for, wait_for_replicas
from tests.support.outage import way_to

FAILURES = 6
"""Rounds in a row that fail, with waits of 1, 2, 4, 4 and 4 s between: 15 s and more."""


async def test_the_loop_outlives_an_outage_and_goes_on_by_itself(
    api: Api, namespace: str, executors: Executors, start: Start
) -> None:
    async with way_to(api.server) as (url, way), start(url, backoff_max_s=4, request_timeout_s=2) as operator:
        await api.create(SCALERS.format(namespace), scaler(executors.target))
        await wait_for(api, namespace, "Ready", "True", "Reconciled")
        await way.cut()

        async def away() -> Any:
            code, vitals = await operator.vitals()
            one = vitals["scalers"][f"{namespace}/exec"]
            return (code, vitals) if one["failures"] >= FAILURES else None

        code, vitals = await until(away, within_s=60, what="the failures")
        assert (code, vitals["faults"]) == (200, [])  # a restart would not bring the API server back
        assert (await operator.vitals("readyz"))[0] == 503
        executors.queued = 12
        await api.create(SCALERS.format(namespace), scaler(executors.target, name="second", deployment="second"))
        await way.mend()
        await wait_for_replicas(api, namespace, 3)
        await wait_for(api, namespace, "Ready", "False", "TargetNotFound", name="second")

        async def watched() -> bool:
            code, vitals = await operator.vitals("readyz")
            return code == 200 and vitals["watch_lag_s"] == 0 and vitals["watch_age_s"] < vitals["list_age_s"]

        await until(watched, what="the watch")
        assert (
            'headrace_operator_api_errors_total{code="0",resource="executorscalers",verb="GET"}' in await operator.metrics()
        )
        assert operator.process.returncode is None


async def test_executors_that_are_away_cost_no_round(api: Api, namespace: str, executors: Executors, start: Start) -> None:
    async with start() as operator:
        await api.create(SCALERS.format(namespace), scaler("127.0.0.1:1,no-such-host.invalid:50053"))
        message = await wait_for(api, namespace, "SignalsFresh", "False", "Missing")
        assert "0 of 1 executors answered" in message
        await rounds(operator)
        assert operator.events("round_failed") == []
