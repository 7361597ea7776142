"""A Kubernetes API server for the session, with the CRD in it, and a namespace for each test."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.kube.support.api import DEPLOYMENTS, SCALERS, Api, Refused, connection, until
from tests.kube.support.control_plane import NoKubernetes, open_control_plane
from tests.kube.support.executors import Executors, open_executors
from tests.kube.support.objects import deployment, scaler
from tests.kube.support.operator import Operator, allow, run_operator

CRD = Path("helm/headrace-crds/templates/executorscalers.yaml")
CRDS = "apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An administrator's."""
    try:
        with open_control_plane(tmp_path_factory.mktemp("control-plane")) as path:
            asyncio.run(_prepare(path))
            yield path
    except NoKubernetes as error:
        pytest.exit(str(error), returncode=1)


@pytest.fixture
async def api(kubeconfig: Path) -> AsyncIterator[Api]:
    """The API server as an administrator."""
    async with _open(kubeconfig) as session:
        yield Api(session, connection(kubeconfig).server, kubeconfig)


def _open(kubeconfig: Path) -> aiohttp.ClientSession:
    info = connection(kubeconfig)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=info.as_ssl_context()),
        headers=info.as_http_headers(),
        timeout=aiohttp.ClientTimeout(total=20),
    )


async def _prepare(kubeconfig: Path) -> None:
    """Wait until the API server is ready, and give it the CRD."""
    # The one condition of the template is about an annotation for Helm.
    lines = [line for line in CRD.read_text(encoding="utf-8").splitlines() if "{{" not in line]
    async with _open(kubeconfig) as session:
        api = Api(session, connection(kubeconfig).server, kubeconfig)
        crd: dict[str, Any] = yaml.safe_load("\n".join(lines))

        async def established() -> bool:
            try:
                path = f"{CRDS}/{crd['metadata']['name']}"
                found = await api.request(
                    "PATCH", path, crd, kind="application/apply-patch+yaml", fieldManager="test", force="true"
                )
                await api.get("api/v1/namespaces/default/serviceaccounts/default")
            except (Refused, aiohttp.ClientError):
                return False
            said = {one["type"]: one["status"] for one in (found.get("status") or {}).get("conditions", ())}
            return said.get("Established") == "True"

        await until(established, within_s=90, what="the CRD")


@pytest.fixture
async def namespace(api: Api) -> AsyncIterator[str]:
    """A namespace with the Deployment `executor` of one replica."""
    name = await make_namespace(api)
    yield name
    await api.delete(f"api/v1/namespaces/{name}")


async def make_namespace(api: Api) -> str:
    """A namespace whose pods can be made."""
    name = f"headrace-{secrets.token_hex(4)}"
    await api.create("api/v1/namespaces", {"metadata": {"name": name}})
    await api.create(DEPLOYMENTS.format(name), deployment())

    async def account() -> bool:
        return bool(
            (await api.get(f"api/v1/namespaces/{name}/serviceaccounts", fieldSelector="metadata.name=default"))["items"]
        )

    await until(account, what="the service account")
    return name


@pytest.fixture
async def executors() -> AsyncIterator[Executors]:
    """One executor on the wire."""
    async with open_executors() as fleet:
        yield fleet


@pytest.fixture
async def token(api: Api, namespace: str) -> str:
    """The operator's, with its rights in the test's namespace."""
    return await allow(api, namespace, namespace)


Start = Callable[..., AbstractAsyncContextManager[Operator]]


@pytest.fixture
def start(api: Api, namespace: str, token: str, tmp_path: Path) -> Start:
    """How to start the operator."""

    def run(server: str = "", **settings: object) -> AbstractAsyncContextManager[Operator]:
        return run_operator(tmp_path, server or api.server, token, namespace, **settings)

    return run


@pytest.fixture
async def operator(start: Start) -> AsyncIterator[Operator]:
    """It runs."""
    async with start() as running:
        yield running


@pytest.fixture
async def made(api: Api, namespace: str, executors: Executors, operator: Operator) -> str:
    """The ExecutorScaler `exec` for the Deployment, looked after by a running operator; returns its path."""
    await api.create(SCALERS.format(namespace), scaler(executors.target))
    return f"{SCALERS.format(namespace)}/exec"
