"""What tests ask the API server for, as an administrator, and kubectl."""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import kopf

from tests.kube.support.control_plane import FOLDERS

APPLY, MERGE, JSON = "application/apply-patch+yaml", "application/merge-patch+json", "application/json"
SCALERS = "apis/headrace.dev/v1alpha1/namespaces/{}/executorscalers"
DEPLOYMENTS = "apis/apps/v1/namespaces/{}/deployments"
PODS = "api/v1/namespaces/{}/pods"
POLL_S = 0.1


class Refused(Exception):
    """The API server's message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code


@dataclass(frozen=True)
class Api:
    """One session as an administrator."""

    session: aiohttp.ClientSession
    server: str
    kubeconfig: Path

    async def request(self, verb: str, path: str, body: Any = None, *, kind: str = JSON, **params: str) -> Any:
        """One request; raises `Refused`."""
        async with self.session.request(
            verb, f"{self.server}/{path}", json=body, params=params, headers={"Content-Type": kind}
        ) as response:
            answer = await response.json(content_type=None)
            if response.status >= 300:
                raise Refused(response.status, answer.get("message", ""))
            return answer

    async def get(self, path: str, **params: str) -> Any:
        """An object or a list."""
        return await self.request("GET", path, **params)

    async def create(self, path: str, body: Mapping[str, Any]) -> Any:
        """POST."""
        return await self.request("POST", path, body)

    async def merge(self, path: str, body: Mapping[str, Any], *, manager: str = "test") -> Any:
        """A merge patch."""
        return await self.request("PATCH", path, body, kind=MERGE, fieldManager=manager)

    async def delete(self, path: str) -> Any:
        """DELETE."""
        return await self.request("DELETE", path)

    async def kubectl(self, *args: str, namespace: str, check: bool = True) -> str:
        """Its standard output; with `check` False its errors too, whatever its exit code."""
        process = await asyncio.create_subprocess_exec(
            _kubectl(),
            f"--kubeconfig={self.kubeconfig}",
            f"--namespace={namespace}",
            *args,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, errors = await process.communicate()
        assert process.returncode == 0 or not check, errors.decode()
        return out.decode() + ("" if check else errors.decode())


def _kubectl() -> str:
    folders = [os.environ[name] for name in FOLDERS if os.environ.get(name)]
    found = shutil.which("kubectl", path=os.pathsep.join([*folders, os.environ.get("PATH", "")]))
    assert found, "tests/kube need kubectl, in PATH or beside kube-apiserver"
    return found


def connection(kubeconfig: Path) -> kopf.ConnectionInfo:
    """What a kubeconfig says."""
    before = os.environ.get("KUBECONFIG")
    os.environ["KUBECONFIG"] = str(kubeconfig)
    try:
        info = kopf.login_with_kubeconfig(settings=kopf.OperatorSettings())
    finally:
        if before is None:
            del os.environ["KUBECONFIG"]
        else:
            os.environ["KUBECONFIG"] = before
    assert info is not None
    return info


async def until(found: Callable[[], Awaitable[Any]], *, within_s: float = 30.0, what: str = "") -> Any:
    """The first true answer of `found`; fails when none comes in time."""
    answer: Any = None
    try:
        async with asyncio.timeout(within_s):
            while not (answer := await found()):
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise AssertionError(f"{what or found} did not come within {within_s:g} s; the last answer is {answer!r}") from None
    return answer
