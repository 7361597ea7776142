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
from headrace_llm.client import ChatRequest, Message, ModelClient
from headrace_llm.registry import Registry
from headrace_llm.settings import LlmSettings
from headrace_runtime.errors import DeadlineExceeded, ResourceExhausted, ServiceError, Unavailable

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
        message, _, hint = fault.partition("\n")
        raise CliError(message if name in message else f"{name}: {message}", hint=hint)


async def faults(file: Path, names: list[str]) -> dict[str, str]:
    """What is wrong with each of the models, with a hint on a second line; none for those that can be asked."""
    settings = LlmSettings(models_file=file)
    registry = app.load_registry(settings)
    found: dict[str, str] = {}
    for name in names:
        seen = await app.faults(Registry.of([registry.resolve(name)]))
        if seen:
            found[name] = f"{seen[0]}\n"
    if found:
        return found
    async with app.model_client(settings) as client:
        for name in names:
            fault = await _ask(client, name)
            if fault:
                found[name] = fault
    return found


async def _ask(client: ModelClient, name: str) -> str:
    question = ChatRequest(
        [Message("user", "Say ok.")], tenant_id="local", deadline_s=CALL_S, model=name, max_tokens=MAX_TOKENS
    )
    try:
        await client.complete(question)
    except (ResourceExhausted, errors.InvalidAnswer):
        return ""  # the key and the name are right
    except (Unavailable, DeadlineExceeded) as error:
        return f"{_flat(error.message)}\ncan the provider be reached from here, and is it running?"
    except errors.ProviderAuth as error:
        return f"{_flat(error.message)}\n"
    except ServiceError as error:
        return f"{_flat(error.message)}\ncheck the model's name and its provider's key in the environment"
    return ""


def _flat(text: str) -> str:
    return " ".join(text.split())


def main() -> None:
    """Print the faults as one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("names", nargs="+")
    chosen = parser.parse_args()
    print(json.dumps(asyncio.run(faults(chosen.file, chosen.names))))


if __name__ == "__main__":
    main()
