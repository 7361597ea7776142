"""`headrace up --provider simulated` starts the simulated provider in the local model's place."""

import json
import urllib.request
from collections.abc import Iterator

import pytest
from headrace_cli.supervisor.ports import Ports
from headrace_llm import models_file

from tests.integration.test_cli_up import Suite, _running
from tests.support.folders import open_folder


@pytest.fixture
def suite() -> Iterator[Suite]:
    with open_folder() as folder:
        yield from _running(Suite(folder))


def test_it_is_a_part_like_the_others_with_the_quota_that_was_asked_for(suite: Suite) -> None:
    with Ports() as ports:
        port = ports.any()
    up = suite.run("up", "--detach", "--port", str(port), "--provider", "simulated", "--rpm", "90")
    assert up.returncode == 0, up.stderr
    parts = {row["name"]: row for row in suite.status()["processes"]}
    entry = models_file.parse((suite.directory.home / "models.yaml").read_text()).resolve()
    assert entry.api_base is not None
    body = json.dumps({"model": "simulated", "messages": [{"role": "user", "content": "hello"}]}).encode()
    with urllib.request.urlopen(f"{entry.api_base}/chat/completions", body, timeout=30) as answer:
        said = json.load(answer)
    with urllib.request.urlopen(f"{entry.api_base.removesuffix('/v1')}/report", timeout=30) as answer:
        report = json.load(answer)
    down = suite.run("down")

    assert "model" not in parts
    assert parts["simulator"]["state"] == "ready"
    assert said["choices"][0]["message"]["content"]
    assert entry.limits.rpm == 90
    assert [quota["rpm"] for quota in report["quotas"].values()] == [90]
    assert suite.directory.log("simulator").exists()
    assert down.returncode == 0
    assert suite.processes() == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(("--provider", "simulated", "--provider", "openai/gpt-4o"), "simulated"), (("--rpm", "90"), "--provider")],
)
def test_what_does_not_fit_together_is_one_clear_line(suite: Suite, arguments: tuple[str, ...], named: str) -> None:
    up = suite.run("up", *arguments)

    assert up.returncode != 0
    assert named in up.stderr
    assert "Traceback" not in up.stderr
