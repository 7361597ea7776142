"""Values that cannot work are refused, with the name of what to change."""

import re
from typing import Any

import pytest
import yaml

from tests.support import helm


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"edge.replica": 2}, "replica"),
        ({"executors.replicas": 2}, "executors"),
        ({"executor.maxSurge": 1}, "maxSurge"),
        ({"edge.replicas": "two"}, "replicas"),
        ({"edge.resources.limits.memory": "512M"}, "memory"),
        ({"edge.resources.limits.cpu": "half"}, "cpu"),
        ({"rag.resources.limits.memory": None}, "memory"),
        ({"image.pullPolicy": "Sometimes"}, "pullPolicy"),
        ({"logLevel": "loud"}, "logLevel"),
        ({"provider.models": {"default": "x"}}, "models"),
        ({"provider.simulated.rpm": 0}, "rpm"),
        ({"executor.scaling.scaleUp.maxStep": 0}, "maxStep"),
        ({"executor.scaling.headroom": 3}, "headroom"),
        ({"edge.apiKeys.entries": [{"name": "a", "tenant": "b", "key_sha256": "a key"}]}, "key_sha256"),
        ({"networkPolicy.provider.cidrs": ["example.com"]}, "cidrs"),
        ({"tracing.otlpEndpoint": "collector:4317"}, "otlpEndpoint"),
        ({"postgres.persistence.size": "ten"}, "size"),
        ({"router.env": {"not a name": "x"}}, "not a name"),
        ({"executor.tools": {"version": 1}}, "tools"),
        ({"executor.toolFiles": {"tools.yaml": "x"}}, "tools.yaml"),
        ({"executor.toolSecrets": [{"name": "TOKEN", "secretName": "school"}]}, "key"),
        ({"executor.toolSecrets": [{"name": "HEADRACE_EXECUTOR_SLOTS", "secretName": "a", "key": "b"}]}, "toolSecrets"),
        ({"executor.toolEgress": [{"ports": [{"port": 443}]}]}, "to"),
        ({"executor.toolEgress": [{"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]}]}, "ports"),
    ],
)
def test_the_schema_refuses(values: dict[str, Any], named: str) -> None:
    with pytest.raises(helm.Refused, match=named):
        helm.preset("node", values)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "set provider.existingSecret"),
        (("provider.existingSecret=a", "provider.keys.KEY=b"), "either provider.existingSecret or provider.keys"),
        (("provider.existingSecret=a", "provider.models=default: x"), "provider.models is no models.yaml"),
        (("provider.existingSecret=a", "provider.models=qwen-max"), "provider.models is no models.yaml"),
        (("provider.existingSecret=a", "postgres.enabled=false"), "set postgres.existingSecret"),
        (("provider.existingSecret=a", "valkey.enabled=false"), "set valkey.existingSecret"),
        (("provider.existingSecret=a", "edge.apiKeys.generate=false"), "set edge.apiKeys.existingSecret"),
        (("provider.existingSecret=a", "edge.httpRoute.enabled=true"), "set edge.httpRoute.parentRefs"),
        (("provider.existingSecret=a", "edge.ingress.enabled=true"), "set edge.ingress.host"),
        (("provider.existingSecret=a", "executor.scaling.minReplicas=4"), "executor.scaling.minReplicas is above"),
        (("provider.existingSecret=a", "executor.scaling.intervalSeconds=20"), "executor.scaling.signals.maxAgeSeconds"),
        (("provider.existingSecret=a", "executor.tools=version: 1"), "executor.tools is no tools.yaml"),
        (("provider.existingSecret=a", "executor.tools=school"), "executor.tools is no tools.yaml"),
        (("provider.existingSecret=a", "executor.toolFiles.a=b"), "executor.tools has none"),
    ],
)
def test_values_that_contradict_each_other_are_refused(arguments: tuple[str, ...], named: str) -> None:
    with pytest.raises(helm.Refused, match=re.escape(named)):
        helm.render(*(part for one in arguments for part in ("--set", one)))


def test_an_older_kubernetes_is_refused() -> None:
    with pytest.raises(helm.Refused, match="kubeVersion"):
        helm.render(*helm.PRESETS["node"], "--kube-version", "1.28.0")


def test_every_value_says_what_it_is_or_has_a_name_that_does() -> None:
    """Each top-level value, and each of the file's blocks, has a line in the schema."""
    values = yaml.safe_load((helm.CHART / "values.yaml").read_text())
    schema = yaml.safe_load((helm.CHART / "values.schema.json").read_text())

    def missing(value: Any, known: Any, path: str) -> list[str]:
        known = schema["$defs"][known["$ref"].rpartition("/")[2]] if "$ref" in known else known
        if not isinstance(value, dict) or "properties" not in known:
            return []
        assert known.get("additionalProperties") is False, path
        return [
            fault
            for name, each in value.items()
            for fault in (
                missing(each, known["properties"][name], f"{path}.{name}")
                if name in known["properties"]
                else [f"{path}.{name}"]
            )
        ]

    assert missing(values, schema, "") == []


def test_the_next_steps_are_told() -> None:
    notes = (helm.CHART / "templates/NOTES.txt").read_text()

    for step in ("get secret", "port-forward", "curl"):
        assert step in notes
