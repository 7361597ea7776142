"""Serves the school's records and saves its workflows in the suite that is up: `make school`. Ctrl-C ends it."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

import uvicorn

from examples.school.service import create_app

PORT = 8090
"""The one that tools.yaml names."""
HOST = "127.0.0.1"
READY_S = 15.0
SAVE_S = 30.0
"""Longest that saving one workflow may take."""
POLL_S = 0.05
WORKFLOWS = Path(__file__).parent / "workflows"
TRY = """
The school is at http://127.0.0.1:{port} (its document: /openapi.json). Try, elsewhere:

  headrace tools
  headrace workflow run class-report --input class_id=c-j3b
  headrace page patch PAGE_ID "make the summary shorter"      the run's last line has the PAGE_ID
  headrace workflow run weak-point-quiz -i class_id=c-j3b -i subject=mathematics --format json
  headrace workflow run student-comments -i class_id=c-j3b
  headrace chat --mode build "Report on class 3B"             there are two: it asks which

Ctrl-C ends it.
"""


def main() -> int:
    """Serve until Ctrl-C; 1 when the workflows could not be saved or the port is taken."""
    parser = argparse.ArgumentParser(prog="python -m examples.school", description=__doc__)
    parser.add_argument("--port", type=int, default=PORT, help=f"{PORT} unless tools.yaml has another base_url")
    parser.add_argument("--no-save", action="store_true", help="only serve; save no workflow")
    chosen = parser.parse_args()
    token = os.environ.get("SCHOOL_TOKEN", "")
    if not token:
        print("SCHOOL_TOKEN is not set: give the one that `make up` was given", file=sys.stderr)
        return 1
    try:
        return asyncio.run(_run(token, chosen.port, save=not chosen.no_save))
    except KeyboardInterrupt:  # uvicorn raises Ctrl-C again once it has ended in order
        return 0


async def _run(token: str, port: int, *, save: bool) -> int:
    config = uvicorn.Config(create_app(token), host=HOST, port=port, log_level="warning")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(_serve(server), name="school")
    if not await _ready(server, serving):
        return 1
    good = not save or await _save_all(serving)
    if good:
        print(TRY.format(port=port), flush=True)
    else:
        server.should_exit = True
    await serving
    return 0 if good else 1


async def _serve(server: uvicorn.Server) -> None:
    try:
        await server.serve()
    except SystemExit:  # it has said why, such as that the port is taken
        return


async def _ready(server: uvicorn.Server, serving: asyncio.Task[None]) -> bool:
    async with asyncio.timeout(READY_S):
        while not server.started and not serving.done():
            await asyncio.wait((serving,), timeout=POLL_S)
    return server.started


async def _save_all(serving: asyncio.Task[None]) -> bool:
    for file in sorted(WORKFLOWS.glob("*.json")):
        if serving.done() or not await _save(file):
            return False
    return True


async def _save(file: Path) -> bool:
    """`headrace workflow save ID FILE`; what it says is shown."""
    command = (sys.executable, "-m", "headrace_cli", "workflow", "save", file.stem, str(file), "--force")
    process = await asyncio.create_subprocess_exec(*command)
    try:
        async with asyncio.timeout(SAVE_S):
            return await process.wait() == 0
    except TimeoutError:
        process.kill()
        await process.wait()
        print(f"{file.name} was not saved within {SAVE_S:g} s", file=sys.stderr)
        return False


if __name__ == "__main__":
    sys.exit(main())
