"""Tools that are one HTTP request each: declared ones, and those of an OpenAPI document."""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

import tenacity

from headrace_tools import answers, metrics
from headrace_tools.adapters.http_client import HttpClient
from headrace_tools.credentials import Credential
from headrace_tools.errors import ToolFailed
from headrace_tools.limits import Limits
from headrace_tools.model import Json, ToolEntry
from headrace_tools.requests import Endpoint, Request, build

Sleep = Callable[[float], Awaitable[None]]


class HttpConnector:
    """Endpoints of one server. Implements `ports.Connector`; the caller bounds the time of a call by cancelling it."""

    def __init__(
        self,
        label: str,
        client: HttpClient,
        credential: Credential,
        endpoints: Mapping[str, Endpoint],
        *,
        retries: int,
        limits: Limits,
        sleep: Sleep = asyncio.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._label = label
        self._client = client
        self._credential = credential
        self._retries = retries
        self._limits = limits
        self._sleep = sleep
        self._now = now
        self.serve(endpoints)

    def serve(self, endpoints: Mapping[str, Endpoint]) -> None:
        """Replace the endpoints, by the tools' own names."""
        self._endpoints = dict(endpoints)
        self._tools = {name: endpoint.entry for name, endpoint in endpoints.items()}

    def tools(self) -> Mapping[str, ToolEntry]:
        """Its tools by their own names."""
        return self._tools

    async def call(self, tool: str, arguments: Mapping[str, Json], *, deadline_s: float, call_id: str = "") -> Json:
        """Send the request, again after a pause when nobody was there and that does no harm. Raises `ToolFailed`."""
        endpoint = self._endpoints[tool]
        until = time.monotonic() + deadline_s
        attempts = 1 + (self._retries if endpoint.entry.idempotent else 0)
        pause = tenacity.wait_random_exponential(self._limits.retry_pause_s, self._limits.longest_retry_pause_s)

        def worth(state: tenacity.RetryCallState) -> bool:
            """Whether another attempt may succeed, and there is time for it after what the server asks to wait."""
            error = state.outcome.exception() if state.outcome is not None else None
            if not isinstance(error, ToolFailed) or error.reason != "away":
                return False
            return (error.retry_after_s or 0.0) < until - time.monotonic()

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome is not None else None
            asked = error.retry_after_s if isinstance(error, ToolFailed) else None
            return max(asked or 0.0, pause(state))

        def count(_: tenacity.RetryCallState) -> None:
            metrics.RETRIES.labels(self._label).inc()

        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(attempts),
            retry=worth,
            wait=wait,
            before_sleep=count,
            sleep=self._sleep,
            reraise=True,
        )
        return await retrying(self._attempt, build(endpoint, arguments, call_id=call_id), endpoint.result)

    async def _attempt(self, request: Request, path: str) -> Json:
        answer = await self._client.send(request)
        if answer.status >= 400:
            answer = dataclasses.replace(answer, body=self._credential.hidden(answer.body))
        return answers.result(answer, path=path, now=self._now())

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()
