"""PageService: a tenant's pages and their versions."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from headrace.executor.v1 import pages_pb2 as pb
from headrace.executor.v1 import pages_pb2_grpc as pb_grpc

from headrace_executor import codec
from headrace_executor.pages import KeptPages, PageVersion, ShownPage
from headrace_executor.runs import ids

Context = Any


class PageServicer(pb_grpc.PageServiceServicer):
    """headrace.executor.v1.PageService."""

    def __init__(self, pages: KeptPages) -> None:
        self._pages = pages

    async def GetPage(self, request: pb.GetPageRequest, context: Context) -> pb.GetPageResponse:  # noqa: N802
        """Answer with one version."""
        version = _version("version", request.version)
        found = await self._pages.get(codec.tenant(request.tenant_id), request.page_id, version)
        return pb.GetPageResponse(page=_shown(found))

    async def GetPageOutput(  # noqa: N802
        self, request: pb.GetPageOutputRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> AsyncIterator[pb.GetPageOutputResponse]:
        """Stream one part of a version."""
        version, step = _version("version", request.version), codec.step(request.step)
        for piece in await self._pages.output(codec.tenant(request.tenant_id), request.page_id, version, step):
            yield pb.GetPageOutputResponse(data=piece)

    async def ListPages(self, request: pb.ListPagesRequest, context: Context) -> pb.ListPagesResponse:  # noqa: N802
        """Answer with a page of pages."""
        session_id = ids.parse(request.session_id) if request.session_id else None
        if request.session_id and session_id is None:
            return pb.ListPagesResponse()
        page, rest = await self._pages.list(
            codec.tenant(request.tenant_id),
            session_id=session_id,
            before=codec.page_before(request.page_token),
            limit=codec.page_size(request.page_size),
        )
        token = codec.page_token(rest) if rest else ""
        return pb.ListPagesResponse(pages=[_page(one) for one in page], next_page_token=token)

    async def ListPageVersions(  # noqa: N802
        self, request: pb.ListPageVersionsRequest, context: Context
    ) -> pb.ListPageVersionsResponse:
        """Answer with all versions of a page."""
        found = await self._pages.versions(codec.tenant(request.tenant_id), request.page_id)
        return pb.ListPageVersionsResponse(versions=[_page(one) for one in found])

    async def RestorePage(self, request: pb.RestorePageRequest, context: Context) -> pb.RestorePageResponse:  # noqa: N802
        """Make an earlier version the current one."""
        restored = await self._pages.restore(
            codec.tenant(request.tenant_id),
            request.page_id,
            version=_version("version", request.version),
            expected=_version("expected_version", request.expected_version),
        )
        return pb.RestorePageResponse(page=_page(restored))

    async def DeletePage(self, request: pb.DeletePageRequest, context: Context) -> pb.DeletePageResponse:  # noqa: N802
        """Remove a page with all its versions."""
        await self._pages.delete(codec.tenant(request.tenant_id), request.page_id)
        return pb.DeletePageResponse()


def _version(field: str, value: int) -> int:
    if value < 0:
        raise codec.invalid(field, "must not be negative")
    return value


def _shown(value: ShownPage) -> pb.Page:
    page = _page(value.version)
    page.blueprint = value.blueprint
    page.inputs = value.inputs
    page.slots = value.slots
    page.sources = value.sources
    return page


def _page(value: PageVersion) -> pb.Page:
    return pb.Page(
        page_id=value.page_id,
        version=value.version,
        current=value.current,
        parent_version=value.parent_version,
        instruction=value.instruction,
        title=value.title,
        run_id=value.run_id,
        session_id=value.session_id,
        create_time=codec.timestamp(value.created_at),
        usage=value.usage.to_proto(),
    )
