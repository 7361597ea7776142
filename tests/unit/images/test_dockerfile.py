"""The Dockerfile installs into each image what its part stands on."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[3]
STAGES = {
    match[1]: match[2]
    for match in re.finditer(
        r"^FROM \S+ AS (\S+)\n(.*?)(?=^FROM |\Z)", (ROOT / "Dockerfile").read_text(), re.MULTILINE | re.DOTALL
    )
}
SERVICES = {
    name: next(
        folder for folder in (f"services/{name}", f"libs/{name}", name) if (ROOT / folder / "pyproject.toml").exists()
    )
    for name in STAGES
    if f"headrace_{name}" in STAGES[name]
}


def stands_on(folder: str) -> set[str]:
    """The folders of our own packages that the one in `folder` needs, its own included."""
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
    names = {Requirement(text).name for text in project["dependencies"]}
    ours = {name.removeprefix("headrace-") for name in names if name.startswith("headrace-")}
    return {folder}.union(*(stands_on(f"libs/{name}") for name in ours))


def test_each_image_that_make_builds_is_there() -> None:
    listed = re.search(r"^IMAGES \?= (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert listed is not None
    assert sorted(listed[1].split()) == sorted(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_has_our_packages_that_its_service_stands_on(name: str) -> None:
    installed = re.search(r"^RUN \./install members (.*)$", STAGES[f"{name}-build"], re.MULTILINE)
    assert installed is not None
    assert {folder.removeprefix("./") for folder in installed[1].split()} == stands_on(SERVICES[name])
    assert f"COPY {SERVICES[name]}/requirements.lock ./" in STAGES[f"{name}-build"]
    assert f'ENTRYPOINT ["python", "-m", "headrace_{name}"]' in STAGES[name]


@pytest.mark.parametrize("name", [name for name in STAGES if name != "build" and not name.endswith("-build")])
def test_an_image_ends_as_a_user_without_rights(name: str) -> None:
    users = re.findall(r"^USER (\S+)$", STAGES["runtime"] + STAGES[name], re.MULTILINE)
    uid, _, gid = users[-1].partition(":")
    assert int(uid) > 0
    assert int(gid) > 0
