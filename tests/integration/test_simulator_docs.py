"""docs/simulator.md does what it says."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from headrace_cli.embedded.program import free_port
from headrace_simulator.books import OUTCOMES
from headrace_simulator.policy import CAUSES
from headrace_simulator.profile import Profile, Rule

from tests.support.simulator_server import SimulatorServer, simulator_server

TEXT = (Path(__file__).parents[2] / "docs/simulator.md").read_text()


def section(title: str) -> str:
    return TEXT.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorServer]:
    found = re.search(r"```yaml\n(.*?)```", section("Settings"), re.DOTALL)
    assert found is not None
    file = tmp_path_factory.mktemp("profile") / "provider.yaml"
    file.write_text(found[1])
    with simulator_server(free_port(), "--profile", str(file)) as running:
        assert running.report()["total"]["arrivals"] == 0
        yield running


def test_the_profile_of_the_page_is_taken_as_it_is_written(server: SimulatorServer) -> None:
    found = re.search(r"```yaml\n(.*?)```", section("Settings"), re.DOTALL)
    assert found is not None
    written = Profile.model_validate(yaml.safe_load(found[1])).to_json()

    assert server.change() == written


def test_every_curl_line_is_answered(server: SimulatorServer) -> None:
    found = re.search(r"```bash\n(.*?)```", section("Ask it"), re.DOTALL)
    assert found is not None
    server.change(faults={})
    lines = re.sub(r"\\\n\s*", "", found[1]).splitlines()
    answers = []
    for line in lines:
        command = line.replace("localhost:8090", server.url.removeprefix("http://"))
        done = subprocess.run(["bash", "-c", f"{command} --fail"], capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        answers.append(done.stdout)
        assert "series_s" not in line or json.loads(done.stdout)["tags"]["chat"]["series"]["accepted"]

    assert len(answers) >= 9
    assert "[DONE]" in answers[1]
    assert json.loads(answers[5])["factor"] == 0.4
    assert json.loads(answers[5])["dialect"] == "dashscope"


def test_every_setting_is_in_the_table_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| `([^`]+)` \|", section("Settings"), re.MULTILINE))
    wanted: dict[str, Any] = {}
    for name, value in Profile().to_json().items():
        wanted |= {f"{name}.{inner}": one for inner, one in value.items()} if isinstance(value, dict) else {name: value}

    assert {name: json.loads(default) for name, default in rows.items()} == wanted
    assert all(f"`{name}`" in section("Settings") for name in Rule.model_fields)


def test_every_field_of_the_report_is_explained(server: SimulatorServer) -> None:
    report = server.report(series_s=10)
    body = b'{"model": "m", "messages": [{"role": "user", "content": "hello"}]}'
    subprocess.run(
        ["curl", "-s", f"{server.base_url}/chat/completions", "-d", body], check=True, capture_output=True, timeout=30
    )
    report = server.report(series_s=10)
    (quota,) = report["quotas"].values()
    names = {*report, *report["total"], *quota, *report["total"]["series"], *CAUSES, *OUTCOMES}
    known = section("The report")

    assert not {name for name in names if f"`{name}`" not in known}
