"""What LightRAG is kept from, seen in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from headrace_rag.adapters.lightrag_index import library
from headrace_rag.adapters.lightrag_index.tokens import Tokens

PROBE = """
import os, socket, subprocess, sys

def refuse(*_, **__):
    raise AssertionError("the network or another program was used")

socket.socket.connect = refuse
subprocess.Popen = subprocess.run = subprocess.check_call = refuse
from headrace_rag.adapters.lightrag_index import library
import headrace_rag.app
early = sorted(name for name in sys.modules if name.split(".")[0] in ("lightrag", "litellm", "numpy", "yoyo"))
assert early == [], early
library.load()
library.load()
assert sys.modules["pypinyin"] is None
import pipmaster
try:
    pipmaster.install("left-pad")
except ImportError:
    print("refused")
from lightrag.prompt import PROMPTS
assert len(PROMPTS["entity_extraction_json_system_prompt"]) < 800
assert "ENTITY_TYPES" not in os.environ, "a .env of the working folder was read"
pages = int(open("/proc/self/statm").read().split()[1]) if sys.platform == "linux" else 0
print(pages * os.sysconf("SC_PAGE_SIZE") // 2**20)
"""


def test_loading_installs_fetches_and_reads_nothing_and_stays_small(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ENTITY_TYPES=[]\n")
    done = subprocess.run(
        [sys.executable, "-c", PROBE], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    refused, megabytes = done.stdout.split()
    assert refused == "refused"
    assert int(megabytes) < 130, "without its hidden dictionaries it takes about 105"


@pytest.mark.parametrize(
    "dsn", ["postgresql:///name", "postgresql://u:p@one,two/name", "postgresql://u:p@host:1", "postgresql://u:p@host/"]
)
def test_a_url_that_lightrag_cannot_use_is_refused(dsn: str) -> None:
    with (
        pytest.raises(library.InvalidUrl, match="one host and a database"),
        library.environment(dsn, connections=1, statement_timeout_s=1),
    ):
        raise AssertionError


def test_the_environment_is_lent_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_HOST", "before")
    monkeypatch.delenv("POSTGRES_PASSWORD", raising=False)
    with library.environment(
        "postgresql://u%40x:p%2Fw@host:7/my%20db?sslmode=require", connections=3, statement_timeout_s=1
    ):
        got = [os.environ[f"POSTGRES_{name}"] for name in ("HOST", "PORT", "USER", "PASSWORD", "DATABASE", "SSL_MODE")]
        assert os.environ["POSTGRES_MAX_CONNECTIONS"] == "3"

    assert got == ["host", "7", "u@x", "p/w", "my db", "require"]
    assert os.environ["POSTGRES_HOST"] == "before"
    assert "POSTGRES_PASSWORD" not in os.environ


def test_windows_of_a_text_are_the_text() -> None:
    tokens = Tokens.load()
    text = "The miller's wheel turns, 水磨坊 too. " * 40

    windows = tokens.windows(text, size=50)

    assert "".join("".join(window.text for window in windows).split()) == "".join(text.split())
    assert max(window.tokens for window in windows) == 50
    assert sum(window.tokens for window in windows) == tokens.count(text)
