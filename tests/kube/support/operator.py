"""The real operator in a process of its own, under a service account that may do what the chart allows it and no more."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import yaml
from headrace_cli.embedded import program

from tests.kube.support.api import Api, until
from tests.kube.support.control_plane import HOST, kubeconfig

ACCOUNT = "headrace-operator"
RULES = Path("helm/headrace/files/operator-rules.yaml")


@dataclass
class Operator:
    """A running operator."""

    process: asyncio.subprocess.Process
    probe_url: str
    metrics_url: str
    log: Path

    async def vitals(self, probe: str = "healthz") -> tuple[int, dict[str, Any]]:
        """A probe's HTTP status and body; 0 while nobody answers."""
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{self.probe_url}/{probe}") as response:
                return response.status, orjson.loads(await response.read())
        except aiohttp.ClientError:
            return 0, {}

    async def metrics(self) -> str:
        """What Prometheus would read."""
        async with aiohttp.ClientSession() as session, session.get(self.metrics_url) as response:
            return await response.text()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log lines of one event."""
        lines = [orjson.loads(line) for line in self.log.read_bytes().splitlines() if line.startswith(b"{")]
        return [line for line in lines if line.get("event") == name]

    async def kill(self) -> None:
        """End it as the kernel would."""
        self.process.kill()
        await self.process.wait()


async def allow(api: Api, home: str, *namespaces: str) -> str:
    """Make the operator's service account in `home` with its rules in each namespace, and return a token."""
    await api.create(f"api/v1/namespaces/{home}/serviceaccounts", {"metadata": {"name": ACCOUNT}})
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))["namespaced"]
    for namespace in namespaces:
        rbac = f"apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
        await api.create(f"{rbac}/roles", {"metadata": {"name": ACCOUNT}, "rules": rules})
        await api.create(
            f"{rbac}/rolebindings",
            {
                "metadata": {"name": ACCOUNT},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT},
                "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": home}],
            },
        )
    path = f"api/v1/namespaces/{home}/serviceaccounts/{ACCOUNT}/token"
    token: str = (await api.create(path, {"spec": {"expirationSeconds": 3600}}))["status"]["token"]
    return token


@asynccontextmanager
async def run_operator(
    home: Path, server: str, token: str, *namespaces: str, **settings: object
) -> AsyncIterator[Operator]:
    """Run it from ready to ended. Its log is appended to a file in `home`."""
    config, log = home / "operator.kubeconfig", home / "operator.log"
    config.write_text(kubeconfig(server, token, namespace=namespaces[0]), encoding="utf-8")
    probe, metrics = program.free_port(), program.free_port()
    environment = {
        "KUBECONFIG": str(config),
        "HEADRACE_OPERATOR_NAMESPACES": ",".join(namespaces),
        "HEADRACE_OPERATOR_LISTEN": f"{HOST}:{probe}",
        "HEADRACE_OPERATOR_METRICS_LISTEN": f"{HOST}:{metrics}",
        "HEADRACE_OPERATOR_RELIST_S": "5",
        **{f"HEADRACE_OPERATOR_{name.upper()}": str(value) for name, value in settings.items()},
    }
    with _appended(log) as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "headrace_operator", env={**os.environ, **environment}, stdout=output, stderr=output
        )
    operator = Operator(process, f"http://{HOST}:{probe}", f"http://{HOST}:{metrics}/metrics", log)
    try:

        async def ready() -> bool:
            assert process.returncode is None, log.read_text(encoding="utf-8")
            return (await operator.vitals("readyz"))[0] == 200

        await until(ready, what="the operator's readiness")
        yield operator
    finally:
        if process.returncode is None:
            process.terminate()
            async with asyncio.timeout(20):
                await process.wait()


@contextmanager
def _appended(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
