"""The chart as `helm template` renders it."""

import base64
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.kube_schemas import GET_IT, tool

CHART = Path(__file__).parents[2] / "helm" / "headrace"
NAMESPACE = "headrace-system"
RELEASE = "headrace"
TIMEOUT_S = 60.0
PRESETS: Mapping[str, tuple[str, ...]] = {
    "defaults": ("--set", "provider.existingSecret=provider"),
    "node": ("-f", str(CHART / "values-node.yaml"), "--set", "provider.existingSecret=provider"),
    "node-simulated": ("--set", "provider.simulated.enabled=true"),
    "node-without-operator": ("--set", "provider.existingSecret=provider,operator.enabled=false,executor.replicas=2"),
    "dev": ("-f", str(CHART / "values-dev.yaml")),
    "multinode": ("-f", str(CHART / "values-multinode.yaml"), "--set", "provider.existingSecret=provider"),
    "everything": (
        *("--set", "provider.keys.DASHSCOPE_API_KEY=a-key,edge.nginx.enabled=true"),
        *("--set", "edge.ingress.enabled=true,edge.ingress.host=headrace.test,edge.ingress.tlsSecret=tls"),
        *("--set", "edge.httpRoute.enabled=true,edge.httpRoute.parentRefs[0].name=gateway"),
        *("--set", "metrics.podMonitor.enabled=true,metrics.rules.enabled=true,metrics.dashboards.enabled=true"),
        *("--set", "tracing.otlpEndpoint=http://collector:4317"),
    ),
}
"""The values files that the chart ships, and switches of the first."""

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's, ten times as fast, where the wheel has it."""

Object = dict[str, Any]


class Refused(Exception):
    """Helm would not render; the message is what it said."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment, a StatefulSet or a bare Pod."""

    object: Object

    @property
    def name(self) -> str:
        """Of the part, such as edge."""
        return str(self.labels["app.kubernetes.io/component"])

    @property
    def template(self) -> Object:
        """metadata and spec of its pods."""
        return self.object if self.object["kind"] == "Pod" else dict(self.object["spec"]["template"])

    @property
    def pod(self) -> Object:
        """The spec of its pods."""
        return dict(self.template["spec"])

    @property
    def labels(self) -> Mapping[str, str]:
        """Of its pods."""
        return dict(self.template["metadata"]["labels"])

    @property
    def container(self) -> Object:
        """Its one container."""
        (only,) = self.pod["containers"]
        return dict(only)

    @property
    def env(self) -> Mapping[str, Any]:
        """The container's variables: their values, or where they come from."""
        listed = self.container.get("env", [])
        found = {one["name"]: one["value"] if "value" in one else one["valueFrom"] for one in listed}
        assert len(found) == len(listed), "a server-side apply refuses a name that is given twice"
        return found


def required(name: str) -> str:
    """The path of a Kubernetes tool. Without it the test is skipped, or fails where HEADRACE_REQUIRE_KUBE_TOOLS is 1."""
    found = tool(name)
    if found is None and os.environ.get("HEADRACE_REQUIRE_KUBE_TOOLS") == "1":
        pytest.fail(f"no {name}: {GET_IT}", pytrace=False)
    if found is None:
        pytest.skip(f"no {name}: {GET_IT}")
    return found


@cache
def _rendered(arguments: tuple[str, ...]) -> str:
    argv = (required("helm"), "template", RELEASE, str(CHART), "--namespace", NAMESPACE, *arguments)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


def manifest(*arguments: str) -> str:
    """What `helm template` prints with these arguments. Raises `Refused`."""
    return _rendered(arguments)


@cache
def _objects(arguments: tuple[str, ...]) -> tuple[Object, ...]:
    return tuple(one for one in yaml.load_all(_rendered(arguments), Loader=LOADER) if one)


def render(*arguments: str) -> list[Object]:
    """The objects of `manifest`, which are not to be changed: whoever asks the same gets the same."""
    return list(_objects(arguments))


def preset(name: str, values: Mapping[str, Any] | None = None) -> list[Object]:
    """The objects of one of `PRESETS`, with further values by dotted name."""
    more = (f"{key}={json.dumps(value)}" for key, value in (values or {}).items())
    return render(*PRESETS[name], *(part for one in more for part in ("--set-json", one)))


def workloads(objects: list[Object]) -> Iterator[Workload]:
    """Everything that makes pods."""
    return (Workload(one) for one in objects if one["kind"] in ("Deployment", "StatefulSet", "Pod"))


def workload(objects: list[Object], name: str) -> Workload:
    """The one of that part."""
    (only,) = (one for one in workloads(objects) if one.name == name)
    return only


def named(objects: list[Object], kind: str, name: str) -> Object:
    """The object of that kind and name, without the release's prefix."""
    (only,) = (one for one in objects if one["kind"] == kind and one["metadata"]["name"] == f"{RELEASE}-{name}")
    return only


def secret(objects: list[Object], name: str) -> Mapping[str, str]:
    """What that Secret holds."""
    return {key: base64.b64decode(value).decode() for key, value in named(objects, "Secret", name)["data"].items()}


def matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether a matchLabels selects them."""
    return selector.items() <= labels.items()
