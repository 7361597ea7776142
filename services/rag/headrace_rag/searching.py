"""Searches: what is asked of a model, what of the index, and what may be cited. `naive` asks no model."""

import asyncio
from dataclasses import dataclass

import structlog
from headrace_llm.call_context import NO_CONTEXT, CallContext
from headrace_llm.client import ChatRequest, Priority
from headrace_llm.errors import InvalidAnswer
from headrace_llm.usage import Usage
from headrace_runtime.errors import DeadlineExceeded, NotFound, ServiceError

from headrace_rag import extraction, metrics, policy
from headrace_rag.model import Document, Found, Keywords, Mark, Mode, Space
from headrace_rag.ports import Documents, Index, Models

LEAST_KEYWORDS_S = 0.3
"""With less time than this no model is asked for keywords."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for."""

    text: str
    mode: Mode
    top_k: int
    context: CallContext = NO_CONTEXT


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a search may take."""

    search_s: float
    keywords_s: float
    """Of which asking the model for keywords; it may also take no more than half of the caller's time."""


class Reader:
    """The use cases that change nothing. Any number of processes may read a workspace."""

    def __init__(self, index: Index, documents: Documents, models: Models, limits: Limits) -> None:
        self._index = index
        self._documents = documents
        self._models = models
        self._limits = limits

    async def search(self, space: Space, query: Query, *, budget_s: float | None) -> tuple[Found, Usage]:
        """Find passages. Raises `NotFound` for a workspace that was never written, `StoreAway`, `DeadlineExceeded`."""
        allowed_s = self._limits.search_s if budget_s is None else min(self._limits.search_s, budget_s)
        result = "failed"
        try:
            with metrics.SEARCH_SECONDS.labels(query.mode).time():
                async with asyncio.timeout(allowed_s):
                    found, usage = await self._search(space, query, allowed_s)
            result = "found" if found.passages else "nothing"
            return found, usage
        except TimeoutError:
            raise DeadlineExceeded("the search took too long") from None
        finally:
            metrics.SEARCHES.labels(query.mode, result).inc()

    async def count(self, space: Space) -> int:
        """How many documents a workspace has. Raises `NotFound` for one that was never written."""
        documents = await self._documents.count(space)
        if documents is None and space.workspace != policy.DEFAULT_WORKSPACE:
            raise NotFound(f"no workspace {space.workspace}")
        return documents or 0

    async def document(self, space: Space, document_id: str) -> Document:
        """A document. Raises `NotFound`."""
        known = await self._documents.get(space, document_id)
        if known is None:
            raise NotFound(f"no document {document_id}")
        return known

    async def page(self, space: Space, *, after: Mark | None, limit: int) -> tuple[list[Document], Mark | None]:
        """A page of documents, the newest first, and where the next one begins; None at the end."""
        found = list(await self._documents.page(space, after=after, limit=limit + 1))
        rest, found = found[limit:], found[:limit]
        return found, Mark(found[-1].created_at, found[-1].document_id) if rest else None

    async def _search(self, space: Space, query: Query, allowed_s: float) -> tuple[Found, Usage]:
        if await self.count(space) == 0:
            return Found(), Usage()
        if query.mode is Mode.NAIVE:
            return await self._nearest(space, query), Usage()
        keywords, usage = await self._keywords(space, query, min(self._limits.keywords_s, allowed_s / 2))
        found = await self._index.related(space, query.text, keywords, mode=query.mode, limit=query.top_k)
        if found is None:
            return await self._nearest(space, query), usage
        titles = await self._documents.titles(space, sorted({passage.document_id for passage in found.passages}))
        return policy.cite(found, titles, top_k=query.top_k), usage

    async def _nearest(self, space: Space, query: Query) -> Found:
        return Found(tuple(await self._index.nearest(space, query.text, limit=query.top_k)))

    async def _keywords(self, space: Space, query: Query, allowed_s: float) -> tuple[Keywords, Usage]:
        """One call of a model; a search never fails because that did."""
        text = query.text
        fallback = extraction.keywords_without_model(text)
        if allowed_s < LEAST_KEYWORDS_S:
            metrics.KEYWORDS_UNANSWERED.labels("no_time").inc()
            return fallback, Usage()
        request = ChatRequest(
            messages=extraction.keywords_prompt(text),
            tenant_id=space.tenant_id,
            deadline_s=allowed_s,
            model=self._models.registry.resolve(role="extract").id,
            priority=Priority.INTERACTIVE,
            max_tokens=extraction.MAX_KEYWORDS_TOKENS,
            schema=extraction.KEYWORDS_SCHEMA,
            purpose="keywords",
        )
        try:
            completion = await self._models.complete(query.context.applied(request))
        except InvalidAnswer as error:
            metrics.KEYWORDS_UNANSWERED.labels("invalid").inc()
            return fallback, error.usage
        except ServiceError as error:
            log.info("keywords_unanswered", reason=error.reason)
            metrics.KEYWORDS_UNANSWERED.labels(error.code.name.lower()).inc()
            return fallback, Usage()
        return extraction.read_keywords(completion.text, text), completion.usage
