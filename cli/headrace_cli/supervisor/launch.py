"""One `headrace up`, from an empty or left-over state dir to the last process ended."""

import asyncio
import os
import shutil
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path

from headrace_cli.embedded import model, postgres, simulator, valkey
from headrace_cli.embedded.program import Program, ProgramFailed
from headrace_cli.errors import CliError, PartFailed
from headrace_cli.supervisor import leftovers, logfiles, models, plan, state
from headrace_cli.supervisor.autoscale import Autoscaler
from headrace_cli.supervisor.autoscale_settings import AutoscaleSettings
from headrace_cli.supervisor.plan import Backing, Layout, Part
from headrace_cli.supervisor.ports import HOST, NoFreePort, Ports
from headrace_cli.supervisor.state import Phase, State, StateDir
from headrace_cli.supervisor.supervise import Supervisor

MIN_FREE_BYTES = 500 * 1024 * 1024
"""A new database, its first write-ahead log and the logs need that much."""
MAX_EXECUTORS = 16
USUAL_EXECUTORS_MAX = 3
"""The most executors with `--autoscale` when nobody has said, as in the chart."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What `headrace up` was asked for."""

    port: int
    executors: int
    """With `executors_max` the fewest."""
    registry: models.Source
    executors_max: int | None = None
    """The most that there may be by load and quota; None keeps the number as it is."""
    tools_file: Path | None = None
    """The tools.yaml, absolute."""


@dataclass(slots=True)
class Signals:
    """What the outside asks of a running supervisor."""

    stop: asyncio.Event
    hurry: asyncio.Event
    """Set by the second request to stop: nothing is waited for any more."""


async def run(directory: StateDir, wish: Wish, signals: Signals, *, on_change: Callable[[State], None]) -> None:
    """Start everything, keep it running until `signals.stop`, stop everything.

    Raises `CliError` when it could not be started or kept; by then everything has been stopped.
    """
    try:
        directory.make()
        with directory.lock(), Ports() as ports:
            _end_leftovers(directory)
            _check_disk(directory)
            await _run_locked(directory, wish, signals, ports, on_change)
    except OSError as error:
        raise CliError(
            f"{error.strerror}: {error.filename or directory.home}", hint="free some space or set HEADRACE_HOME"
        ) from error
    except NoFreePort as error:
        raise CliError(str(error), hint="stop what holds them") from error


async def _run_locked(
    directory: StateDir, wish: Wish, signals: Signals, ports: Ports, on_change: Callable[[State], None]
) -> None:
    port = ports.wanted(wish.port)
    notes = () if port == wish.port else (f"port {wish.port} is taken: the edge serves on {port}",)
    identity = state.identify(os.getpid())
    assert identity is not None
    url = f"http://{HOST}:{port}"
    initial = State(phase=Phase.STARTING, supervisor=identity, url=url, models=wish.registry.names, notes=notes)
    supervisor = Supervisor(directory, initial, on_change=on_change)
    bounded = asyncio.create_task(logfiles.keep_bounded(directory.logs), name="bound logs")
    try:
        await _until(signals.stop, _serve(supervisor, directory, wish, port, ports, signals.hurry))
    except CliError as error:
        supervisor.announce(phase=Phase.FAILED, error=str(error), hint=error.hint)
        raise
    finally:
        bounded.cancel()
        await supervisor.stop(signals.hurry)


async def _serve(
    supervisor: Supervisor, directory: StateDir, wish: Wish, port: int, ports: Ports, hurry: asyncio.Event
) -> None:
    executors = tuple(ports.any() for _ in range(wish.executors_max or wish.executors))
    layout = Layout(edge=port, router=ports.any(), planner=ports.any(), rag=ports.any(), executors=executors)
    try:
        parts = await _parts(directory, wish, layout, ports)
        spare = plan.executors(parts)[wish.executors :]
        supervisor.add(tuple(part for part in parts if part not in spare))
    except ProgramFailed as error:
        raise PartFailed(str(error)) from error
    await supervisor.all_ready()
    if wish.executors_max is None:
        await supervisor.broken()
        return
    settings = AutoscaleSettings()
    scaler = Autoscaler(supervisor, plan.executors(parts), settings.spec(wish.executors, wish.executors_max), hurry)
    await _until_broken(supervisor, scaler.run(settings.interval_s))


async def _until_broken(supervisor: Supervisor, scaling: Coroutine[None, None, None]) -> None:
    """Scale until a part cannot be kept running; also when scaling itself fails, which it must not do unseen."""
    working = asyncio.create_task(scaling, name="autoscale")
    broken = asyncio.create_task(supervisor.broken(), name="broken")
    try:
        done, _ = await asyncio.wait((working, broken), return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (working, broken):
            task.cancel()
        await asyncio.gather(working, broken, return_exceptions=True)


async def _parts(directory: StateDir, wish: Wish, layout: Layout, ports: Ports) -> tuple[Part, ...]:
    registry = wish.registry
    database, cache, llm = ports.any(), ports.any(), ports.any()
    passwords = {name: directory.secrets / name for name in (plan.POSTGRES, plan.VALKEY)}
    prepared = [
        asyncio.to_thread(postgres.prepare, directory.data / plan.POSTGRES, database, passwords[plan.POSTGRES]),
        asyncio.to_thread(valkey.prepare, directory.data / plan.VALKEY, cache, passwords[plan.VALKEY]),
    ]
    if registry.local:
        prepared.append(asyncio.to_thread(model.prepare, llm))
    elif registry.simulated_rpm is not None:
        prepared.append(asyncio.to_thread(simulator.prepare, llm, registry.simulated_rpm))
    programs: list[Program] = await asyncio.gather(*prepared)
    local_url = model.url(llm) if registry.local else simulator.url(llm)
    backing = Backing(
        database_url=postgres.url(database, passwords[plan.POSTGRES]),
        redis_url=valkey.url(cache, passwords[plan.VALKEY]),
        models_file=str(models.write(registry, directory.home / "models.yaml", local_url=local_url)),
        tools_file=str(wish.tools_file or ""),
    )
    stores = tuple(plan.embedded(one, at) for one, at in zip(programs, (database, cache, llm), strict=False))
    return (*stores, *plan.services(layout, backing))


async def _until(stop: asyncio.Event, work: Coroutine[None, None, None]) -> None:
    working = asyncio.create_task(work, name="serve")
    stopped = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait((working, stopped), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        for task in (working, stopped):
            task.cancel()
        await asyncio.gather(working, stopped, return_exceptions=True)


def _end_leftovers(directory: StateDir) -> None:
    last = directory.read()
    if last is not None:
        leftovers.end_parts(last)


def _check_disk(directory: StateDir) -> None:
    free = shutil.disk_usage(directory.home).free
    if free < MIN_FREE_BYTES:
        needed = MIN_FREE_BYTES // 1024**2
        raise CliError(
            f"only {free // 1024**2} MB are free at {directory.home}, {needed} MB are needed",
            hint="free some space, or set HEADRACE_HOME to a folder on another disk",
        )
