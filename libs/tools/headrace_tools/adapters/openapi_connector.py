"""OpenAPI documents behind a URL: fetched at start, and until they are there. A file's is read by `app`."""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog
import yaml

from headrace_tools import answers, guard, metrics
from headrace_tools.adapters.http_client import HttpClient
from headrace_tools.connectors import OpenApiConnector
from headrace_tools.errors import ToolFailed
from headrace_tools.limits import MAX_SPEC_BYTES, Limits
from headrace_tools.openapi import Imported, InvalidSpec
from headrace_tools.requests import Request

log = structlog.get_logger()


def read(text: str | bytes) -> Any:
    """A document from JSON or YAML. Raises `InvalidSpec`."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        # Through JSON: a date in it is text, and a status code without quotes is a name.
        return orjson.loads(orjson.dumps(yaml.load(text, yaml.CSafeLoader), option=orjson.OPT_NON_STR_KEYS))
    except (yaml.YAMLError, orjson.JSONEncodeError, ValueError, RecursionError) as error:
        raise InvalidSpec(f"it is neither JSON nor YAML: {str(error)[:200]}") from error


class Fetching:
    """Gets a document, tries again while its server is away, and passes it on once."""

    def __init__(
        self, label: str, entry: OpenApiConnector, client: HttpClient, serve: Callable[[Any], Imported], *, limits: Limits
    ) -> None:
        self._label = label
        self._entry = entry
        self._client = client
        self._serve = serve
        self._limits = limits
        self._task: asyncio.Task[None] | None = None
        self.listed = asyncio.Event()
        """Set when the document has come, good or bad."""
        self.fault: str | None = None
        """What is wrong with the document."""

    def start(self) -> None:
        """Fetch the document until it is there."""
        metrics.CONNECTED.labels(self._label).set(0)
        self._task = asyncio.create_task(self._keep(), name=f"openapi {self._label}")

    async def aclose(self) -> None:
        """Stop trying."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=self._limits.close_s)

    async def _keep(self) -> None:
        pause = self._limits.first_pause_s
        while True:
            try:
                async with asyncio.timeout(self._limits.spec_timeout_s):
                    document = await self._fetch()
                    # Reading 4 MiB of YAML takes seconds.
                    imported = await asyncio.to_thread(lambda text: self._serve(read(text)), document)
                self.fault = None
                self.listed.set()
                metrics.CONNECTED.labels(self._label).set(1)
                metrics.CONNECTS.labels(self._label, "ok").inc()
                log.info("openapi_spec_read", connector=self._label, tools=len(imported.endpoints))
                return
            except InvalidSpec as error:
                self.fault = str(error)
                self.listed.set()
                said = self.fault
            except (ToolFailed, TimeoutError) as error:
                said = str(error) or "it did not come in time"
            metrics.CONNECTS.labels(self._label, "failed").inc()
            log.warning("openapi_spec_away", connector=self._label, error=said[:300], retry_in_s=round(pause, 1))
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - not for secrets
            pause = min(2 * pause, self._limits.longest_pause_s)

    async def _fetch(self) -> bytes:
        base, own = self._entry.base_url, guard.target(self._entry.spec)
        headers = {"Accept": "application/json, application/yaml;q=0.9, */*;q=0.5"}
        answer = await self._client.send(
            Request("GET", self._entry.spec, headers),
            limit=MAX_SPEC_BYTES,
            anonymous=base is not None and guard.target(base) != own,
        )
        answers.check_status(answer, now=datetime.now(UTC))
        return answer.body
