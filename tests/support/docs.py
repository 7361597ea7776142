"""The curl commands of the docs, and a shell that runs them against an edge."""

import asyncio
import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
ANSWER_S = 60.0


def commands(file: str) -> list[str]:
    """The commands of a document's first block, each on one line."""
    found = re.search(r"```bash\n(.*?)```", (DOCS / file).read_text(), re.DOTALL)
    assert found is not None
    return re.findall(r"^curl .*?(?=\ncurl |\Z)", re.sub(r"\\\n\s*", "", found[1]), re.DOTALL | re.MULTILINE)


async def answered(command: str, port: int, folder: Path) -> str:
    """Run a command as a reader would, demand a good status, and return what it says."""
    line = command.strip().replace("localhost:8080", f"127.0.0.1:{port}")
    process = await asyncio.create_subprocess_shell(
        f"{line} --fail-with-body", cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(ANSWER_S):
        out, err = await process.communicate()
    assert process.returncode == 0, f"{command}\n{out.decode()}{err.decode()}"
    return out.decode()
