"""Pages: generated, changed, read in three forms, restored."""

import asyncio
import re
from functools import partial
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request
from headrace_runtime import errors
from starlette.responses import Response

from headrace_edge import etags, negotiation
from headrace_edge.downloads import Download
from headrace_edge.edge import Parts
from headrace_edge.json_body import JsonRoute
from headrace_edge.middleware.authentication import Reader, Runner
from headrace_edge.model import Listing
from headrace_edge.negotiation import Format
from headrace_edge.pages import html, markdown, preconditions
from headrace_edge.pages.bodies import MAX_VERSION, PageBody, PatchBody, RestoreBody
from headrace_edge.pages.model import Page, PageVersion
from headrace_edge.policy import Refused
from headrace_edge.routes import streaming
from headrace_edge.routes.parameters import ETAG, UNCHANGED, Cursor, IdempotencyKey, IfChanged, IfMatch, Limit, PathId
from headrace_edge.submitting import prepared

router = APIRouter(route_class=JsonRoute, tags=["page"])

MAX_FILE_NAME = 80
"""Longest name of a page's file, in characters, without its suffix."""
_SAFE = {"x-content-type-options": "nosniff", "cache-control": "private, no-cache", "vary": "accept"}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_MOVED = {"description": "Another version is current than If-Match says."}
_PATCHED: dict[int | str, dict[str, Any]] = {**streaming.STREAM_RESPONSES, 412: _MOVED}
_FORMS: dict[int | str, dict[str, Any]] = {
    **UNCHANGED,
    200: {
        "description": "The page, in the form that `format` or Accept names.",
        "headers": ETAG,
        "content": {
            "text/html": {"schema": {"type": "string"}},
            "text/markdown": {"schema": {"type": "string"}},
        },
    },
}


@router.post("/api/page/generate", response_class=Response, responses=streaming.STREAM_RESPONSES, summary="Run a blueprint")
async def generate_page(body: PageBody, edge: Parts, caller: Runner, idempotency_key: IdempotencyKey = None) -> Response:
    """Run a blueprint, given or saved, on its inputs and stream the run's events."""
    start = partial(
        prepared, edge, caller, body, kind="page", execute=True, idempotency_key=idempotency_key, priority="interactive"
    )
    return streaming.submitted(edge, caller, start)


@router.post("/api/page/patch", response_class=Response, responses=_PATCHED, summary="Change a page")
async def patch_page(
    body: PatchBody, edge: Parts, caller: Runner, idempotency_key: IdempotencyKey = None, if_match: IfMatch = None
) -> Response:
    """Change a page by one sentence and stream the run's events. Slots that it does not concern stay byte for byte."""
    meant = body.model_copy(update={"version": preconditions.meant(if_match, body.version)})
    start = partial(
        prepared, edge, caller, meant, kind="patch", execute=True, idempotency_key=idempotency_key, priority="interactive"
    )
    return streaming.submitted(edge, caller, start, refusal=partial(preconditions.refusal, if_match))


@router.get("/api/pages", response_model=Listing[PageVersion], summary="List pages, newest first")
async def list_pages(
    edge: Parts,
    caller: Reader,
    session_id: Annotated[str, Query(max_length=128)] = "",
    cursor: Cursor = "",
    limit: Limit = 50,
) -> Listing[PageVersion]:
    """Read the current versions of the tenant's pages, without what is on them."""
    return await edge.pages.list(caller.tenant, session_id=session_id, cursor=cursor, limit=limit)


@router.get("/api/pages/{page_id}", response_model=Page, responses=_FORMS, summary="Read a page")
async def get_page(
    page_id: PathId,
    request: Request,
    response: Response,
    edge: Parts,
    caller: Reader,
    version: Annotated[int, Query(ge=0, le=MAX_VERSION, description="0: the current one.")] = 0,
    format: Annotated[Format | None, Query(description="Absent: what Accept wants, else JSON.")] = None,  # noqa: A002
    if_none_match: IfChanged = None,
) -> Page | Response:
    """Read one version of a page: as JSON, or as a document of its own in HTML or Markdown."""
    page = await edge.pages.get(caller.tenant, page_id, version=version)
    form = format or negotiation.wanted(request.headers.get("accept", ""))
    if form == "json":
        if version:  # whether it is the current one changes
            return page
        tag = etags.of_revision(page.version)
        if etags.none_match(if_none_match, tag):
            return Response(status_code=304, headers={"etag": tag})
        response.headers["etag"] = tag
        return page
    # A long page takes a while; the loop goes on meanwhile.
    if form == "html":
        text = await asyncio.to_thread(html.document, page)
        headers = {**_SAFE, "content-security-policy": _POLICY, "content-disposition": _inline(page.title, "html")}
        return Response(text, headers=headers, media_type="text/html")
    text = await asyncio.to_thread(markdown.document, page)
    headers = {**_SAFE, "content-disposition": _inline(page.title, "md")}
    return Response(text, headers=headers, media_type="text/markdown")


@router.get("/api/pages/{page_id}/versions", response_model=Listing[PageVersion], summary="List a page's versions")
async def list_page_versions(page_id: PathId, edge: Parts, caller: Reader) -> Listing[PageVersion]:
    """Read all versions of a page, oldest first, without what is on them."""
    return Listing[PageVersion](items=list(await edge.pages.versions(caller.tenant, page_id)), next_cursor=None)


@router.get(
    "/api/pages/{page_id}/versions/{version}/outputs/{step:path}",
    response_class=Response,
    responses={200: {"description": "The value, JSON.", "content": {"application/json": {"schema": {}}}}},
    summary="Read a value of a page",
)
async def get_page_output(
    page_id: PathId,
    version: Annotated[int, Path(ge=1, le=MAX_VERSION)],
    step: Annotated[str, Path(min_length=1, max_length=512, description="node:ID; or blueprint, inputs, sources.")],
    edge: Parts,
    caller: Reader,
) -> Response:
    """Read a whole value of one version, which the page may show shortened."""
    pieces = edge.pages.output(caller.tenant, page_id, version, step)
    settings = edge.settings
    return Download(pieces, send_timeout_s=settings.stream_send_timeout_s, max_bytes=settings.max_output_bytes)


@router.post(
    "/api/pages/{page_id}/restore", response_model=Page, responses={412: _MOVED}, summary="Restore a version of a page"
)
async def restore_page(page_id: PathId, body: RestoreBody, edge: Parts, caller: Runner, if_match: IfMatch = None) -> Page:
    """Make an earlier version the current one, with `{}` the one before: an undo. No version is lost by it."""
    expected = preconditions.meant(if_match, body.expected_version)
    try:
        return await edge.pages.restore(caller.tenant, page_id, version=body.version or 0, expected_version=expected or 0)
    except errors.Aborted as error:
        if (problem := preconditions.refusal(if_match, error)) is not None:
            raise Refused(problem) from error
        raise


@router.delete("/api/pages/{page_id}", status_code=204, summary="Remove a page")
async def delete_page(page_id: PathId, edge: Parts, caller: Runner) -> Response:
    """Remove a page with all its versions."""
    await edge.pages.delete(caller.tenant, page_id)
    return Response(status_code=204)


def _inline(title: str, suffix: str) -> str:
    """Content-Disposition with the page's title for a name (RFC 6266)."""
    name = " ".join(re.sub(r"[^\w.-]+", " ", title).split())[:MAX_FILE_NAME].strip(". ") or "page"
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "page"
    return f"inline; filename=\"{plain}.{suffix}\"; filename*=UTF-8''{quote(f'{name}.{suffix}', safe='')}"
