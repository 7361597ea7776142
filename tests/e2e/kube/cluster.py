"""The installed suite as its operator sees it, through kubectl and helm, and as its users do, through the edge's port."""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.suite import Suite

Json = Any
NAMESPACE = "headrace-e2e"
RELEASE = "headrace"
CRDS = "headrace-crds"
TOOLS = Path(os.environ.get("HEADRACE_KUBE_BIN", Path.home() / ".cache/headrace/kube/bin"))
READY_S = 300
"""Longest that a rollout of everything may take on two busy cores."""
POLL_S = 0.5


def program(name: str) -> str:
    """Where kubectl or helm is."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), str(TOOLS)]))
    assert found, f"tests/e2e/kube need {name}, in PATH or in HEADRACE_KUBE_BIN"
    return found


def run(*command: str, check: bool = True, timeout_s: float = READY_S, stdin: str | bytes | None = None) -> str:
    """A command's output; with `check` it must succeed, without the errors come with it."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        [program(command[0]), *command[1:]], capture_output=True, timeout=timeout_s, input=given, check=False
    )
    out, errors = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == 0 or not check, f"{' '.join(command)}\n{errors}{out}"
    return out if check else out + errors


def until(found: Callable[[], Any], *, within_s: float, what: str) -> Any:
    """The first true answer of `found`."""
    end, answer = time.monotonic() + within_s, None
    while time.monotonic() < end:
        if answer := found():
            return answer
        time.sleep(POLL_S)
    raise AssertionError(f"{what} did not come within {within_s:g} s; at last {answer!r}")


@dataclass(frozen=True, slots=True)
class Cluster:
    """One release in one namespace."""

    namespace: str = NAMESPACE
    release: str = RELEASE

    def kubectl(self, *args: str, check: bool = True, stdin: str | bytes | None = None) -> str:
        """In the release's namespace."""
        return run("kubectl", "-n", self.namespace, *args, check=check, stdin=stdin)

    def get(self, *args: str) -> Json:
        """`kubectl get … -o json`."""
        return json.loads(self.kubectl("get", *args, "-o", "json"))

    def upgrade(self, *settings: str) -> None:
        """`helm upgrade` with more settings, waiting for nothing."""
        given = [word for one in settings for word in ("--set", one)]
        run("helm", "upgrade", self.release, "helm/headrace", "-n", self.namespace, "--reuse-values", *given)

    def part(self, name: str) -> str:
        """A part's Deployment, Service or StatefulSet."""
        return f"{self.release}-{name}"

    def pods(self, part: str = "") -> list[Json]:
        """Pods of one part, or of all but the test pod, that are not on their way out."""
        found = self.get("pods")["items"]
        return [
            pod for pod in found
            if pod["metadata"]["labels"].get("app.kubernetes.io/component", "") not in ("test", "")
            and part in ("", pod["metadata"]["labels"]["app.kubernetes.io/component"])
            and "deletionTimestamp" not in pod["metadata"]
        ]  # fmt: skip

    def kill(self, part: str) -> None:
        """End a part's pod at once, without its drain."""
        self.kubectl("delete", "pod", self.pods(part)[0]["metadata"]["name"], "--grace-period=0", "--force")

    def workloads(self) -> list[str]:
        """`deployment/NAME` and `statefulset/NAME` of everything."""
        return [name for name in self.kubectl("get", "deployments,statefulsets", "-o", "name").split() if name]

    def ready(self) -> None:
        """Wait until every workload has rolled out."""
        for workload in self.workloads():
            run(
                "kubectl",
                "-n",
                self.namespace,
                "rollout",
                "status",
                workload,
                f"--timeout={READY_S}s",
                timeout_s=READY_S + 10,
            )

    def scaler(self) -> Json:
        """The ExecutorScaler."""
        return self.get("executorscalers.headrace.dev", self.part("executor"))

    def executors(self) -> int:
        """Executors that are asked for."""
        return int(self.get("deployment", self.part("executor"))["spec"]["replicas"])

    def restarts(self) -> dict[str, int]:
        """By pod and container, how often it was started again."""
        return {
            f"{pod['metadata']['name']}/{one['name']}": one["restartCount"]
            for pod in self.pods()
            for one in pod["status"].get("containerStatuses", ())
        }

    def memory_mib(self) -> dict[str, float]:
        """By pod, the working set, once its node's kubelet has looked at all of them since now."""
        now = datetime.now(UTC)
        return dict(until(lambda: self._memory_since(now), within_s=60, what="the kubelet's look at every pod"))

    def _memory_since(self, since: datetime) -> dict[str, float] | None:
        found: dict[str, float] = {}
        for node in self.get("nodes")["items"]:
            path = f"/api/v1/nodes/{node['metadata']['name']}/proxy/stats/summary"
            for pod in json.loads(self.kubectl("get", "--raw", path))["pods"]:
                if pod["podRef"]["namespace"] == self.namespace and datetime.fromisoformat(pod["memory"]["time"]) >= since:
                    found[pod["podRef"]["name"]] = pod["memory"]["workingSetBytes"] / 2**20
        return found if {pod["metadata"]["name"] for pod in self.pods()} <= found.keys() else None

    def python(self, pod: str, program: str) -> str:
        """Run some Python in a pod: there is no shell that one could count on."""
        return self.kubectl("exec", pod, "--", "python3", "-c", program)

    def suite(self) -> Suite:
        """The edge, from outside of the pods' network, with the key that the chart has made."""
        node = self.get("nodes")["items"][0]
        address = next(one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP")
        port = self.get("service", self.part("edge"))["spec"]["ports"][0]["nodePort"]
        key = base64.b64decode(self.get("secret", self.part("edge") + "-keys")["data"]["api-key"]).decode()
        return Suite(Path(), f"http://{address}:{port}", key)

    @contextmanager
    def forwarded(self, service: str, port: int) -> Iterator[str]:
        """`kubectl port-forward` to a Service for the block; yields its URL here."""
        command = [program("kubectl"), "-n", self.namespace, "port-forward", f"service/{self.part(service)}", f":{port}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                said = process.stdout.readline()
                assert ":" in said, f"port-forward to {service}:{port}: {said!r}"
                yield "http://127.0.0.1:" + said.split("->")[0].rsplit(":", 1)[1].strip()
            finally:
                process.terminate()

    def provider(self, settings: Mapping[str, Json]) -> None:
        """Change what the simulated provider grants and how it answers."""
        with self.forwarded("simulator", 8090) as url:
            httpx.put(f"{url}/control", json=settings, timeout=10).raise_for_status()

    def provider_books(self) -> Json:
        """What the simulated provider says of its calls."""
        with self.forwarded("simulator", 8090) as url:
            return httpx.get(f"{url}/report", timeout=10).raise_for_status().json()


def objects(cluster: Cluster, kinds: Sequence[str]) -> list[str]:
    """Whatever of these kinds belongs to the release, as kind/name."""
    label = f"app.kubernetes.io/instance={cluster.release}"
    return cluster.kubectl("get", ",".join(kinds), "-l", label, "-o", "name", "--ignore-not-found").split()


def millicores(quantity: str) -> int:
    """Of "250m" or "2"."""
    return int(quantity[:-1]) if quantity.endswith("m") else round(float(quantity) * 1000)


def mebibytes(quantity: str) -> int:
    """Of "512Mi" or "1Gi"."""
    return int(float(quantity[:-2]) * {"Mi": 1, "Gi": 1024}[quantity[-2:]])
