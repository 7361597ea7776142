"""Tools that are one HTTP request each: declared ones, and those of an OpenAPI document."""

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from headrace_tools import answers
from headrace_tools.adapters.http_client import HttpClient
from headrace_tools.adapters.repetition import Sleep, repeated
from headrace_tools.credentials import Credential
from headrace_tools.limits import Limits
from headrace_tools.model import Json, ToolEntry
from headrace_tools.requests import Endpoint, Request, build


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
        request = build(endpoint, arguments, call_id=call_id)
        self._credential.check(request)
        return await repeated(
            self._label,
            lambda: self._attempt(request, endpoint.result),
            retries=self._retries if endpoint.entry.idempotent else 0,
            deadline_s=deadline_s,
            limits=self._limits,
            sleep=self._sleep,
        )

    async def _attempt(self, request: Request, path: str) -> Json:
        answer = await self._client.send(request)
        if answer.status >= 400:
            answer = dataclasses.replace(answer, body=self._credential.hidden(answer.body))
        return answers.result(answer, path=path, now=self._now())

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()
