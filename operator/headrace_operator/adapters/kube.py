"""The API server over aiohttp: the few requests that the operator makes, each with a deadline and a fixed field manager."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import kopf
import orjson
import structlog
from headrace_runtime.settings import InvalidSettings

from headrace_operator import metrics
from headrace_operator.custom_resource import GROUP, KIND, PLURAL, VERSION
from headrace_operator.errors import ApiError, FieldConflict, NotFound
from headrace_operator.ports import Json, Key
from headrace_operator.workload import DELETION_COST

FIELD_MANAGER = "headrace-operator"
"""Owner, in managedFields, of what the operator sets."""
CONTROLLER = f"{GROUP}/operator"
MAX_ITEMS = 1000
"""Objects that one list may bring."""
MAX_CONNECTIONS = 16
MAX_NOTE = 1024
"""Characters of an Event's note, by its schema."""
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"

log = structlog.get_logger()


def login() -> kopf.ConnectionInfo:
    """How to reach the API server: KUBECONFIG if that is set, else the pod's service account. Raises `InvalidSettings`."""
    settings = kopf.OperatorSettings()
    ways = (kopf.login_with_service_account, kopf.login_with_kubeconfig)
    for way in reversed(ways) if os.environ.get("KUBECONFIG") else ways:
        try:
            found = way(settings=settings)
        except (OSError, LookupError, kopf.LoginError) as error:
            raise InvalidSettings(f"KUBECONFIG: cannot be used: {error!r}") from error
        if found is not None:
            return found
    raise InvalidSettings("KUBECONFIG: is not set, and this process has no Kubernetes service account")


class KubeCluster:
    """`ports.Cluster` over HTTP."""

    def __init__(self, namespaces: Sequence[str] | None, *, timeout_s: float) -> None:
        self._namespaces = namespaces
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None
        self._login = asyncio.Lock()
        self._server = ""

    async def open(self) -> None:
        """Read the credentials (again): a service account's token is replaced every hour."""
        info = login()
        old, self._server = self._session, info.server.rstrip("/")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=info.as_ssl_context(), limit=MAX_CONNECTIONS),
            headers={"Accept": "application/json", "User-Agent": FIELD_MANAGER, **info.as_http_headers()},
            timeout=self._timeout,
        )
        if old is not None:
            await old.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def scalers(self) -> Sequence[Json]:
        """All ExecutorScalers of the namespaces looked after."""
        found: list[Json] = []
        for namespace in self._namespaces if self._namespaces is not None else (None,):
            where = "" if namespace is None else f"/namespaces/{namespace}"
            found += await self._list(PLURAL, f"/apis/{GROUP}/{VERSION}{where}/{PLURAL}")
        return found

    async def scaler(self, key: Key) -> Json:
        """One ExecutorScaler."""
        return await self._request("GET", PLURAL, _scaler_path(key))

    async def deployment(self, namespace: str, name: str) -> Json:
        """One Deployment."""
        return await self._request("GET", "deployments", f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")

    async def pods(self, namespace: str, selector: str) -> Sequence[Json]:
        """The pods that a label selector chooses."""
        return await self._list("pods", f"/api/v1/namespaces/{namespace}/pods", labelSelector=selector)

    async def quotas(self, namespace: str) -> Sequence[Json]:
        """The namespace's ResourceQuotas."""
        return await self._list("resourcequotas", f"/api/v1/namespaces/{namespace}/resourcequotas")

    async def scale(self, namespace: str, deployment: str, replicas: int, *, take_over: bool) -> None:
        """Apply `.spec.replicas` through the scale subresource, server-side, so that the API server keeps who owns it."""
        await self._request(
            "PATCH",
            "deployments/scale",
            f"/apis/apps/v1/namespaces/{namespace}/deployments/{deployment}/scale",
            params={"force": "true" if take_over else "false"},
            content=_APPLY,
            body={
                "apiVersion": "autoscaling/v1",
                "kind": "Scale",
                "metadata": {"name": deployment, "namespace": namespace},
                "spec": {"replicas": replicas},
            },
        )

    async def set_deletion_cost(self, namespace: str, pod: str, cost: int) -> None:
        """Annotate a pod. A merge patch, as an apply would make a pod that has just gone anew."""
        await self._request(
            "PATCH",
            "pods",
            f"/api/v1/namespaces/{namespace}/pods/{pod}",
            params={},
            content=_MERGE,
            body={"metadata": {"annotations": {DELETION_COST: str(cost)}}},
        )

    async def write_status(self, scaler: Json, status: Json) -> None:
        """Apply an ExecutorScaler's status; all of it is ours. The uid keeps it from a namesake made meanwhile."""
        metadata = {key: scaler["metadata"][key] for key in ("name", "namespace", "uid")}
        await self._request(
            "PATCH",
            f"{PLURAL}/status",
            f"{_scaler_path(Key(metadata['namespace'], metadata['name']))}/status",
            params={"force": "true"},
            content=_APPLY,
            body={"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "metadata": metadata, "status": status},
        )

    async def publish(self, scaler: Json, *, warning: bool, reason: str, note: str) -> None:
        """Make an Event about an ExecutorScaler."""
        metadata = scaler["metadata"]
        await self._request(
            "POST",
            "events",
            f"/apis/events.k8s.io/v1/namespaces/{metadata['namespace']}/events",
            params={},
            content="application/json",
            body={
                "apiVersion": "events.k8s.io/v1",
                "kind": "Event",
                "metadata": {"name": f"{metadata['name'][:200]}.{time.time_ns():x}", "namespace": metadata["namespace"]},
                "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                "reportingController": CONTROLLER,
                "reportingInstance": socket.gethostname()[:128],
                "action": "Scale",
                "reason": reason,
                "type": "Warning" if warning else "Normal",
                "note": note[:MAX_NOTE],
                "regarding": {
                    "apiVersion": f"{GROUP}/{VERSION}",
                    "kind": KIND,
                    **{key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion")},
                },
            },
        )

    async def _list(self, resource: str, path: str, **params: str) -> Sequence[Json]:
        answer = await self._request("GET", resource, path, params={"limit": str(MAX_ITEMS), **params})
        items: list[Json] = answer["items"]
        return items

    async def _request(
        self,
        verb: str,
        resource: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        content: str = "",
        body: Json | None = None,
    ) -> dict[str, Any]:
        query = dict(params or {})
        if body is not None:
            query["fieldManager"] = FIELD_MANAGER
        for again in (False, True):
            session = await self._open_session()
            try:
                async with session.request(
                    verb,
                    self._server + path,
                    params=query,
                    data=None if body is None else orjson.dumps(body),
                    headers={"Content-Type": content} if content else {},
                ) as response:
                    code, raw = response.status, await response.read()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                metrics.API_ERRORS.labels(verb, resource, 0).inc()
                raise ApiError(f"{verb} {path}: the API server does not answer ({error!r})") from error
            if code != 401 or again:
                break
            await self._renew(session)
        if code < 300:
            answer: dict[str, Any] = orjson.loads(raw)
            return answer
        metrics.API_ERRORS.labels(verb, resource, code).inc()
        raise _error(f"{verb} {path}", code, raw)

    async def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            async with self._login:
                if self._session is None:
                    await self.open()
        assert self._session is not None
        return self._session

    async def _renew(self, refused: aiohttp.ClientSession) -> None:
        async with self._login:
            if self._session is refused:
                log.info("credentials_read_again")
                await self.open()


def _scaler_path(key: Key) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{key.namespace}/{PLURAL}/{key.name}"


def _error(what: str, code: int, raw: bytes) -> ApiError:
    try:
        status = orjson.loads(raw)
        message = f"{what}: {code} {status['message']}"
        causes = (status.get("details") or {}).get("causes") or ()
    except (ValueError, KeyError, TypeError):
        message, causes = f"{what}: {code} {raw[:200]!r}", ()
    if code == 404:
        return NotFound(message, code=code)
    # The message reads: conflict with "kubectl" with subresource "scale" using apps/v1
    owners = [c["message"].partition('"')[2].partition('"')[0] for c in causes if c.get("reason") == "FieldManagerConflict"]
    return FieldConflict(message, owners=tuple(owners)) if owners else ApiError(message, code=code)


@asynccontextmanager
async def open_cluster(namespaces: Sequence[str] | None, *, timeout_s: float) -> AsyncIterator[KubeCluster]:
    """A connection to the API server; `namespaces` None means all. Raises `InvalidSettings` when there is no way to one."""
    cluster = KubeCluster(namespaces, timeout_s=timeout_s)
    await cluster.open()
    try:
        yield cluster
    finally:
        await cluster.close()
