"""`scripts/images` with stand-ins for the programs that build."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
AWAY = "#!/bin/sh\necho 'Cannot connect to the daemon' >&2; exit 1\n"
# Notes what it was asked, and the secrets, which are gone when the script has ended.
BUILDS = """#!/bin/sh
case $1 in
  images) echo '12 MB'; exit ;;
  build) echo "$@" >> "$NOTES" ;;
esac
for word in "$@"; do case $word in id=*) cat "${word##*src=}" >> "$NOTES.secrets" ;; esac; done
case " $* " in *" --target broken "*) exit 1 ;; esac
"""


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    for name, text in {"docker": AWAY, "podman": AWAY, "buildah": BUILDS}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return tmp_path / "notes"


def images(notes: Path, *names: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the script with nothing in the environment but what is said."""
    return subprocess.run(
        [ROOT / "scripts/images", *names], env={"PATH": f"{notes.parent}:{os.environ['PATH']}", "NOTES": str(notes)} | env,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_it_takes_the_program_that_works_and_says_what_it_built(notes: Path) -> None:
    done = images(notes, "edge", "rag", REGISTRY="reg/x", TAG="7", BASE_IMAGE="other:1", SOURCE="https://example.com/s")
    assert done.returncode == 0
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["image", "size", "name"],
        ["edge", "12", "MB", "reg/x/edge:7"],
        ["rag", "12", "MB", "reg/x/rag:7"],
    ]
    edge, rag = notes.read_text().splitlines()
    assert "--target edge -t reg/x/edge:7 ." in edge
    assert "--target rag -t reg/x/rag:7 ." in rag
    assert "--build-arg BASE_IMAGE=other:1" in edge
    assert "org.opencontainers.image.version=" in edge
    assert "org.opencontainers.image.source=https://example.com/s" in edge


def test_where_packages_come_from_is_a_secret(notes: Path, tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("of the authority\n")
    address = "https://ann:pw@index.example.com/python?a=1&b=2"
    assert images(notes, "edge", PIP_INDEX_URL=address, SSL_CERT_FILE=str(authority)).returncode == 0
    assert "example.com" not in notes.read_text()
    secrets = notes.with_suffix(".secrets").read_text()
    read = subprocess.run(
        ["sh", "-c", secrets.replace("of the authority\n", "") + "echo $UV_DEFAULT_INDEX"], capture_output=True, text=True
    )
    assert read.stdout.strip() == address
    assert "of the authority" in secrets


def test_a_failed_build_is_named(notes: Path) -> None:
    done = images(notes, "edge", "broken", "rag")
    assert done.returncode == 1
    assert "the image broken was not built" in done.stderr
    assert len(notes.read_text().splitlines()) == 2


def test_without_a_program_that_works_it_says_which_would_do(notes: Path) -> None:
    (notes.parent / "buildah").write_text(AWAY)
    done = images(notes, "edge")
    assert done.returncode == 1
    assert "no docker, podman or buildah that works here" in done.stderr


def test_without_names_it_says_how_it_is_used(notes: Path) -> None:
    done = images(notes)
    assert done.returncode == 2
    assert "Usage: images NAME..." in done.stderr
