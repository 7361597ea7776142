"""The tools of an MCP server, over a session that is kept: opened anew when the server has gone, listed as it changes."""

import asyncio
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from itertools import islice

import anyio
import mcp_types as mcp
import orjson
import pydantic
import structlog
from mcp.client import Client
from mcp.client.session import IncomingMessage
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared.exceptions import MCPError

from headrace_tools import metrics
from headrace_tools.adapters import mcp_results
from headrace_tools.adapters.mcp_lines import TOO_LARGE
from headrace_tools.adapters.mcp_transports import CUT, HTTP_FAILED, Streams
from headrace_tools.adapters.repetition import repeated
from headrace_tools.credentials import Credential
from headrace_tools.errors import ToolFailed
from headrace_tools.limits import CHECK_STEPS_AT_ONCE, MAX_CHECK_STEPS, MAX_SKIPPED_SHOWN, Limits
from headrace_tools.model import Json, ToolEntry

MAX_PAGES = 20
"""Pages of a listing."""
CLIENT = mcp.Implementation(name="headrace", version="1")

log = structlog.get_logger()

Open = Callable[[asyncio.Event], AbstractAsyncContextManager[Streams]]
"""Reaches the server; the event is to be set when it is known to have gone."""


class McpConnector:
    """One server's tools. Implements `ports.Connector`; `start` it, and `aclose` it from the same loop."""

    def __init__(
        self,
        name: str,
        label: str,
        reach: Open,
        credential: Credential,
        *,
        retries: int,
        max_response_bytes: int,
        limits: Limits,
    ) -> None:
        self._name = name
        self._label = label
        self._reach = reach
        self._credential = credential
        self._retries = retries
        self._max_response_bytes = max_response_bytes
        self._limits = limits
        self._listing = mcp_results.Listing()
        self._why: ToolFailed | None = None
        """Why the server could not be reached the last time, if it said so."""
        self._client: Client | None = None
        self._ready = asyncio.Event()
        self._gone = asyncio.Event()
        """A call has shown that the session is broken; it is opened anew."""
        self._look = asyncio.Event()
        """The server said that its tools are others, or something shows that it may have gone."""
        self._task: asyncio.Task[None] | None = None
        self._scope = anyio.CancelScope()
        self.listed = asyncio.Event()
        """Set once the tools have been listed for the first time."""
        self.fault: str | None = None

    def start(self) -> None:
        """Reach the server, and go on doing so."""
        metrics.CONNECTED.labels(self._label).set(0)
        self._task = asyncio.create_task(self._keep(), name=f"mcp {self._label}")

    def tools(self) -> Mapping[str, ToolEntry]:
        """The tools as they were listed last."""
        return self._listing.tools

    async def call(self, tool: str, arguments: Mapping[str, Json], *, deadline_s: float, call_id: str = "") -> Json:
        """Ask the server, again when it went away meanwhile and the tool says that this is safe. Raises `ToolFailed`."""
        entry = self._listing.tools.get(tool)
        if entry is None:
            raise ToolFailed("the server does not have it any more", reason="invalid")
        return await repeated(
            self._label,
            lambda: self._attempt(tool, arguments, deadline_s),
            retries=self._retries if entry.idempotent else 0,
            deadline_s=deadline_s,
            limits=self._limits,
        )

    async def aclose(self) -> None:
        """End the session, and the server's process. Takes `Limits.close_s` at most."""
        if self._task is None:
            return
        # A task's own cancellation would break off the shutdown that ends the server's process, or get lost in one.
        self._scope.cancel()
        _, left = await asyncio.wait({self._task}, timeout=self._limits.close_s)
        if left:
            log.error("mcp_server_does_not_end", connector=self._label)

    async def _attempt(self, tool: str, arguments: Mapping[str, Json], deadline_s: float) -> Json:
        try:
            return self._bounded(mcp_results.value(await self._asked(tool, arguments, deadline_s)))
        except ToolFailed as error:
            said = self._credential.hidden_text(str(error))
            raise ToolFailed(said, reason=error.reason, retry_after_s=error.retry_after_s) from error

    async def _asked(self, tool: str, arguments: Mapping[str, Json], deadline_s: float) -> mcp.CallToolResult:
        client = await self._connected()
        try:
            return await client.call_tool(tool, dict(arguments), read_timeout_seconds=deadline_s)
        except MCPError as error:
            failed = mcp_results.failure(error)
            if error.code != HTTP_FAILED:  # else it is there, and asking it for its tools would be one call more
                self._doubt(client, gone=failed.reason == "away")
            raise failed from error
        except (anyio.ClosedResourceError, anyio.BrokenResourceError) as error:
            self._doubt(client, gone=True)
            raise ToolFailed("the server has gone", reason="away") from error
        except (pydantic.ValidationError, RuntimeError) as error:
            gone = client is not self._client
            self._doubt(client, gone=gone)
            said = "the server has gone" if gone else f"its answer is not what its schema says: {str(error)[:200]}"
            raise ToolFailed(said, reason="away" if gone else "failed") from error

    async def _judge(self, name: str, result: mcp.CallToolResult) -> None:
        """Hold a result against the tool's output schema; what takes too long is taken as it is. Raises RuntimeError."""
        validator = self._listing.outputs.get(name)
        if validator is not None and not mcp_results.judged(validator, result, steps=CHECK_STEPS_AT_ONCE):
            metrics.LONG_CHECKS.inc()
            await asyncio.to_thread(mcp_results.judged, validator, result, steps=MAX_CHECK_STEPS)

    def _doubt(self, client: Client, *, gone: bool) -> None:
        """Have the tools listed again, which shows whether the session holds; until then nobody uses one that is gone."""
        self._look.set()
        if gone and client is self._client:
            self._ready.clear()
            self._gone.set()

    async def _connected(self) -> Client:
        """The session; one that has just broken is given a moment."""
        try:
            async with asyncio.timeout(self._limits.reconnect_wait_s):
                await self._ready.wait()
        except TimeoutError as error:
            why = self._why or ToolFailed("the server is away", reason="away")
            raise ToolFailed(str(why), reason=why.reason, retry_after_s=why.retry_after_s) from error
        if self._client is None:
            raise ToolFailed("the server has gone", reason="away")
        return self._client

    def _bounded(self, value: Json) -> Json:
        if len(orjson.dumps(value)) > self._max_response_bytes:
            raise ToolFailed(TOO_LARGE, reason="too_large")
        return value

    async def _keep(self) -> None:
        with self._scope:
            await self._reaching()

    async def _reaching(self) -> None:
        pause = self._limits.first_pause_s
        while True:
            try:
                await self._session()
            except Exception as error:  # noqa: BLE001 - whatever a server or its transport raises, it is reached anew
                self._why = _why(error)
                causes = [self._credential.hidden_text(said) for said in _causes(error)]
                log.warning("mcp_server_away", connector=self._label, error=causes, retry_in_s=round(pause, 1))
            finally:
                was_ready = self._client is not None
                self._ready.clear()
                self._client = None
                metrics.CONNECTED.labels(self._label).set(0)
            if was_ready:
                pause = self._limits.first_pause_s
            else:
                metrics.CONNECTS.labels(self._label, "failed").inc()
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - not for secrets
            pause = min(2 * pause, self._limits.longest_pause_s)

    async def _session(self) -> None:
        """One session, until it breaks."""
        self._look = asyncio.Event()
        client = Client(
            self._reach(self._look),
            client_info=CLIENT,
            message_handler=self._heard,
            read_timeout_seconds=self._limits.connect_timeout_s,
            cache=None,
        )
        with anyio.fail_after(self._limits.opening_s) as opening:
            async with client:
                # The package's own check does not count its work, and matches the server's regular expressions.
                client.session.validate_tool_result = self._judge  # type: ignore[method-assign]
                await self._list(client)
                opening.deadline = math.inf
                await self._opened(client)

    async def _opened(self, client: Client) -> None:
        self._why = None
        self._client = client
        self._use()
        self.listed.set()
        metrics.CONNECTED.labels(self._label).set(1)
        metrics.CONNECTS.labels(self._label, "ok").inc()
        log.info("mcp_server_reached", connector=self._label, tools=len(self._listing.tools))
        await self._follow(client)

    def _use(self) -> None:
        self._gone.clear()
        self._ready.set()

    async def _follow(self, client: Client) -> None:
        """List again when the server says so, or nothing was heard for long. Raises what shows that it has gone."""
        listening = asyncio.create_task(self._listen(client), name=f"mcp listen {self._label}")
        pause = self._limits.listing_pause_s
        try:
            while True:
                try:
                    async with asyncio.timeout(self._limits.listing_s):
                        await self._look.wait()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(pause):
                            await self._gone.wait()
                except TimeoutError:
                    log.debug("mcp_server_silent", connector=self._label)
                self._look.clear()
                began = time.monotonic()
                with anyio.fail_after(self._limits.opening_s):
                    await self._listed(client)
                took = time.monotonic() - began
                pause = max(self._limits.listing_pause_s, min(took / self._limits.listing_share, self._limits.listing_s))
                self._use()
        finally:
            listening.cancel()

    async def _listen(self, client: Client) -> None:
        """Hear of other tools from a server of the 2026 protocol; an older one sends notifications unasked."""
        while True:
            try:
                async with client.listen(tools_list_changed=True) as events:
                    async for _ in events:
                        self._look.set()
            except SubscriptionLost:
                self._look.set()
            except (ListenNotSupportedError, MCPError, TimeoutError, RuntimeError) as error:
                log.debug("mcp_server_tells_nothing", connector=self._label, error=str(error)[:300])
                return
            await asyncio.sleep(self._limits.first_pause_s)

    async def _heard(self, message: IncomingMessage) -> None:
        if isinstance(message, mcp.ToolListChangedNotification):
            self._look.set()

    async def _listed(self, client: Client) -> None:
        """List again; a server that has too many calls is there, and is asked again later."""
        try:
            await self._list(client)
        except MCPError as error:
            if not mcp_results.too_many(error):
                raise
            log.debug("mcp_server_busy", connector=self._label, error=error.message)

    async def _list(self, client: Client) -> None:
        found = list[mcp.Tool]()
        cursor: str | None = None
        cut = 0
        for _ in range(MAX_PAGES):
            page = await client.list_tools(cursor=cursor)
            found += page.tools
            cut += int((page.meta or {}).get(CUT, 0))
            cursor = page.next_cursor
            if cursor is None:
                break
        # Judging the schemas of 200 tools may take long.
        before = self._listing
        self._listing = await asyncio.to_thread(partial(mcp_results.listing, self._name, found, before, cut=cut))
        skipped = self._listing.skipped
        metrics.SKIPPED.labels(self._label).set(self._listing.unusable)
        if skipped and skipped != before.skipped:
            shown = dict(islice(skipped.items(), MAX_SKIPPED_SHOWN))
            log.warning("mcp_tools_skipped", connector=self._label, tools=shown, count=self._listing.unusable)


def _why(error: BaseException) -> ToolFailed | None:
    """What an HTTP status said, if that is what went wrong."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for one in error.exceptions if (found := _why(one)) is not None), None)
    if isinstance(error, MCPError) and error.code == HTTP_FAILED:
        return mcp_results.failure(error)
    return None


def _causes(error: BaseException) -> Sequence[str]:
    """What went wrong, without the groups that it came in."""
    if isinstance(error, BaseExceptionGroup):
        return [said for one in error.exceptions for said in _causes(one)][:5]
    return [f"{type(error).__name__}: {error}"[:300]]
