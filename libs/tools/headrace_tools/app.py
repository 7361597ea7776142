"""Wires the toolbox: the file, its secrets, the connectors."""

import asyncio
import functools
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import structlog
from headrace_runtime import yaml_lines
from headrace_runtime.settings import Fault
from headrace_schemas import counted

from headrace_tools import declared, metrics, openapi, schemas, tools_file
from headrace_tools.adapters import openapi_connector
from headrace_tools.adapters.http_client import HttpClient
from headrace_tools.adapters.http_connector import HttpConnector
from headrace_tools.adapters.network import Resolve, resolve, tls
from headrace_tools.connectors import HttpConnector as HttpEntry
from headrace_tools.connectors import McpConnector as McpEntry
from headrace_tools.connectors import OpenApiConnector as OpenApiEntry
from headrace_tools.credentials import credential, of_process
from headrace_tools.errors import InvalidToolsFile, ToolFailed
from headrace_tools.limits import MAX_FILE_BYTES, MAX_SKIPPED_SHOWN, MAX_SPEC_BYTES, Limits
from headrace_tools.openapi import Imported, InvalidSpec
from headrace_tools.ports import Connector, NoTools, Toolbox
from headrace_tools.service import ConnectedTools, Served
from headrace_tools.tools_file import EVERYBODY, Declared, ToolsFile

log = structlog.get_logger()

_TALKATIVE = ("httpx2", "httpcore2", "mcp")
"""Libraries that log whole URLs, with the secrets in their queries, and sessions' ids."""

FaultAt = tuple[yaml_lines.Path, str]


class _Reached(Protocol):
    """What has to be reached before its tools are known."""

    listed: asyncio.Event
    fault: str | None

    def start(self) -> None: ...

    async def aclose(self) -> None: ...


@asynccontextmanager
async def open_toolbox(
    path: Path | None,
    *,
    environment: Mapping[str, str],
    limits: Limits | None = None,
    resolve: Resolve = resolve,
) -> AsyncIterator[Toolbox]:
    """The tools of a tools.yaml; none without a file. Secrets are the variables of `environment` that it names.

    Raises `InvalidToolsFile` with every fault. Servers that are away stop nothing: they are waited for `start_timeout_s`.
    """
    if path is None:
        yield NoTools()
        return
    for library in _TALKATIVE:
        logging.getLogger(library).setLevel(logging.WARNING)
    file = await asyncio.to_thread(_read, path, environment)
    async with AsyncExitStack() as stack:
        opening = _Opening(file, path.parent, environment, limits or Limits(), resolve)
        yield await opening.opened(stack)


def _read(path: Path, environment: Mapping[str, str]) -> ToolsFile:
    try:
        with path.open("rb") as stream:
            text = stream.read(MAX_FILE_BYTES + 1).decode()
    except (OSError, ValueError) as error:
        raise InvalidToolsFile(str(path), [Fault(0, "", f"cannot be read: {error}")]) from error
    return tools_file.parse(text, environment=environment, source=str(path))


class _Opening:
    """Makes the connectors of one file."""

    def __init__(
        self, file: ToolsFile, folder: Path, environment: Mapping[str, str], limits: Limits, resolve: Resolve
    ) -> None:
        self._file = file
        self._folder = folder
        self._environment = environment
        self._limits = limits
        self._resolve = resolve
        self._faults: list[FaultAt] = []
        self._reached: list[tuple[Declared, _Reached]] = []

    async def opened(self, stack: AsyncExitStack) -> Toolbox:
        context = await asyncio.to_thread(tls)
        served: dict[str, dict[str, Served]] = {}
        for one in self._file.all():
            connector = await self._connector(one, context, stack)
            turns = asyncio.Semaphore(self._limits.connections)
            timeout_s = one.entry.timeout_s
            served.setdefault(one.scope, {})[one.name] = Served(one.name, one.label, connector, timeout_s, turns)
        await self._start(stack)
        self._check_entities(served)
        if self._faults:
            raise self._file.invalid(self._faults)
        return ConnectedTools(served, self._file.entities, limits=self._limits)

    async def _connector(self, one: Declared, context: ssl.SSLContext, stack: AsyncExitStack) -> Connector:
        if isinstance(one.entry, McpEntry):
            return self._mcp(one, one.entry, context)
        secret = credential(one.entry.auth, self._environment)
        client = HttpClient(one.label, one.entry, secret, limits=self._limits, context=context, resolve=self._resolve)
        stack.push_async_callback(client.aclose)
        connector = HttpConnector(one.label, client, secret, {}, retries=one.entry.retries, limits=self._limits)
        if isinstance(one.entry, HttpEntry):
            connector.serve(declared.endpoints(one.name, one.entry, one.tools))
            return connector
        serve = functools.partial(self._imported, one, one.entry, connector)
        if one.entry.remote:
            self._reached.append(
                (one, openapi_connector.Fetching(one.label, one.entry, client, serve, limits=self._limits))
            )
            return connector
        try:
            await asyncio.to_thread(lambda path: serve(_spec(path)), self._folder / one.entry.spec)
        except InvalidSpec as error:
            self._faults.append(((*one.place, "spec"), str(error)))
        return connector

    def _imported(self, one: Declared, entry: OpenApiEntry, connector: HttpConnector, document: Any) -> Imported:
        imported = openapi.tools(one.name, entry, document, source=entry.spec if entry.remote else "")
        connector.serve(imported.endpoints)
        metrics.SKIPPED.labels(one.label).set(len(imported.skipped))
        if imported.skipped:
            log.warning(
                "openapi_operations_skipped",
                connector=one.label,
                operations=dict(islice(imported.skipped.items(), MAX_SKIPPED_SHOWN)),
                count=len(imported.skipped),
            )
        return imported

    def _mcp(self, one: Declared, entry: McpEntry, context: ssl.SSLContext) -> Connector:
        # The protocol's package takes half a second and 40 MB; who has no such server is spared that.
        from headrace_tools.adapters import mcp_transports
        from headrace_tools.adapters.mcp_connector import McpConnector, Open

        reach: Open
        if entry.command is not None:
            variables = {name: self._environment[variable] for name, variable in entry.env.items()}
            secret = of_process(variables)
            reach = functools.partial(mcp_transports.process, one.label, entry, variables, self._folder)
        else:
            secret = credential(entry.auth, self._environment)
            reach = functools.partial(mcp_transports.http, one.label, entry, secret, self._limits, context, self._resolve)
        connector = McpConnector(
            one.name,
            one.label,
            reach,
            secret,
            retries=entry.retries,
            max_response_bytes=entry.max_response_bytes,
            limits=self._limits,
        )
        self._reached.append((one, connector))
        return connector

    async def _start(self, stack: AsyncExitStack) -> None:
        """Reach all servers at once, and wait a while for them."""
        if not self._reached:
            return
        stack.push_async_callback(self._close)
        for _, one in self._reached:
            one.start()
        waits = [asyncio.create_task(one.listed.wait(), name="reached") for _, one in self._reached]
        try:
            _, late = await asyncio.wait(waits, timeout=self._limits.start_timeout_s)
        finally:
            for wait in waits:
                wait.cancel()
        if late:
            away = [from_file.label for from_file, one in self._reached if not one.listed.is_set()]
            log.warning("connectors_away_at_start", connectors=away)
        self._faults += [((*from_file.place, "spec"), one.fault) for from_file, one in self._reached if one.fault]

    async def _close(self) -> None:
        await asyncio.gather(*(one.aclose() for _, one in self._reached))

    def _check_entities(self, served: Mapping[str, Mapping[str, Served]]) -> None:
        """Entities whose tools a spec has to have; a connector that has not been reached is not asked."""
        for scope, sources in self._file.entities.items():
            for source in sources.values():
                name, _, tool = source.tool.partition(".")
                one = served.get(scope, {}).get(name) or served.get(EVERYBODY, {}).get(name)
                tools = one.connector.tools() if one is not None else {}
                place: yaml_lines.Path = (*(("tenants", scope) if scope else ()), "entities", source.kind)
                if any(entry.kind == "mcp" for entry in tools.values()):
                    continue  # its tools come and go
                if tools and tool not in tools:
                    said = f"{name} has no tool {tool!r}{yaml_lines.nearest(tool, tools)}"
                    self._faults.append(((*place, "tool"), said))
                elif tools:
                    try:
                        schemas.check(source.tool, counted.validator(tools[tool].tool.input_schema), source.args)
                    except ToolFailed as error:
                        self._faults.append(((*place, "args"), str(error)))


def _spec(path: Path) -> Any:
    try:
        with path.open("rb") as stream:
            text = stream.read(MAX_SPEC_BYTES + 1)
    except OSError as error:
        raise InvalidSpec(f"{path} cannot be read: {error.strerror}") from error
    if len(text) > MAX_SPEC_BYTES:
        raise InvalidSpec(f"{path} is larger than {MAX_SPEC_BYTES} bytes")
    return openapi_connector.read(text)
