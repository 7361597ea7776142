"""Asks each `--provider` model one tiny question before anything is started.

It runs in a process of its own, `python -m headrace_cli.supervisor.probe`: a provider's client costs the memory of a whole
service, and the supervisor lives as long as the suite does.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from headrace_llm import app, errors
from headrace_llm.client import ChatRequest, Message
from headrace_llm.settings import LlmSettings
from headrace_runtime.errors import ResourceExhausted, ServiceError

from headrace_cli.errors import CliError
from headrace_cli.supervisor.models import Source

CALL_S = 30.0
"""Longest that one model may take to answer."""
MAX_TOKENS = 8
IMPORTS_S = 30.0
"""What the process may take beside its calls."""


def check(source: Source) -> None:
    """Ask every model of `source`. Raises `CliError` that says what is wrong with the first that cannot be asked."""
    with tempfile.TemporaryDirectory(prefix="headrace-") as folder:
        file = Path(folder) / "models.yaml"
        file.write_text(source.text, encoding="utf-8")
        command = [sys.executable, "-m", __name__, str(file), *source.names]
        try:
            answer = subprocess.run(
                command, capture_output=True, text=True, timeout=IMPORTS_S + CALL_S * len(source.names), check=False
            )
        except subprocess.TimeoutExpired as error:
            raise CliError("the provider did not answer in time", hint="is the network there?") from error
    lines = answer.stdout.splitlines()
    if answer.returncode != 0 or not lines:
        raise CliError("the provider could not be checked", hint=(answer.stderr.strip().splitlines() or ["no output"])[-1])
    for name, fault in json.loads(lines[-1]).items():
        raise CliError(f"{name}: {fault}", hint="check the model's name and its provider's key in the environment")


async def faults(file: Path, names: list[str]) -> dict[str, str]:
    """What is wrong with each of the models; those that answer, or are only throttled, are not in it."""
    found: dict[str, str] = {}
    async with app.model_client(LlmSettings(models_file=file)) as client:
        for name in names:
            question = ChatRequest(
                [Message("user", "Say ok.")], tenant_id="local", deadline_s=CALL_S, model=name, max_tokens=MAX_TOKENS
            )
            try:
                await client.complete(question)
            except (errors.Throttled, errors.InvalidAnswer, ResourceExhausted):
                continue  # the key and the name are right
            except ServiceError as error:
                found[name] = " ".join(error.message.split())
    return found


def main() -> None:
    """Print the faults as one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("names", nargs="+")
    chosen = parser.parse_args()
    print(json.dumps(asyncio.run(faults(chosen.file, chosen.names))))


if __name__ == "__main__":
    main()
