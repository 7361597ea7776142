"""What a connector needs is imported when a file has such a connector."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HTTP = {"kind": "http", "base_url": "https://a.example", "tools": {"ping": {"description": "Pings.", "path": "/"}}}
PROGRAM = """
import asyncio, sys
import headrace_executor.app
from pathlib import Path
from headrace_tools.app import open_toolbox

async def main():
    async with open_toolbox(Path(sys.argv[1]) if len(sys.argv) > 1 else None, environment={}):
        print("mcp" in sys.modules)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("connectors", "imported"),
    [
        ({}, False),
        ({"a": HTTP}, False),
        ({"a": HTTP, "b": {"kind": "mcp", "command": [sys.executable, "-c", "pass"]}}, True),
    ],
)
def test_the_protocols_package_is_imported_for_who_has_such_a_server(
    connectors: dict[str, object], imported: bool, tmp_path: Path
) -> None:
    file = tmp_path / "tools.yaml"
    file.write_text(json.dumps({"version": 1, "connectors": connectors}))
    arguments = [str(file)] if connectors else []

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.split()[-1] == str(imported)
