"""The executor's page service as a port."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import grpc
from headrace.executor.v1 import pages_pb2 as pb
from headrace.executor.v1 import pages_pb2_grpc as grpc_pb

from headrace_edge.adapters import decoding
from headrace_edge.adapters.calls import Caller
from headrace_edge.model import Listing
from headrace_edge.pages.model import Page, PageVersion

NEVER_REPEATED = ("headrace.executor.v1.PageService/RestorePage",)
"""Calls that do something else the second time: an undo undoes one version more."""


class ExecutorPages:
    """`ports.Pages` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, caller: Caller, *, output_timeout_s: float) -> None:
        self._stub = grpc_pb.PageServiceStub(channel)
        self._caller = caller
        self._output_timeout_s = output_timeout_s

    async def get(self, tenant: str, page_id: str, *, version: int) -> Page:
        """See the port."""
        request = pb.GetPageRequest(tenant_id=tenant, page_id=page_id, version=version)
        answer: pb.GetPageResponse = await self._caller.repeatable(self._stub.GetPage, request)
        return _page(answer.page)

    async def list(self, tenant: str, *, session_id: str, cursor: str, limit: int) -> Listing[PageVersion]:
        """See the port."""
        request = pb.ListPagesRequest(tenant_id=tenant, session_id=session_id, page_size=limit, page_token=cursor)
        answer: pb.ListPagesResponse = await self._caller.repeatable(self._stub.ListPages, request)
        return Listing[PageVersion](
            items=[PageVersion(**_version(one)) for one in answer.pages], next_cursor=answer.next_page_token or None
        )

    async def output(self, tenant: str, page_id: str, version: int, step: str) -> AsyncGenerator[bytes, None]:
        """See the port."""
        request = pb.GetPageOutputRequest(tenant_id=tenant, page_id=page_id, version=version, step=step)
        stream = self._caller.stream(self._stub.GetPageOutput, request, timeout_s=self._output_timeout_s)
        async with aclosing(stream) as pieces:
            async for piece in pieces:
                if piece.data:
                    yield piece.data

    async def versions(self, tenant: str, page_id: str) -> Sequence[PageVersion]:
        """See the port."""
        request = pb.ListPageVersionsRequest(tenant_id=tenant, page_id=page_id)
        answer: pb.ListPageVersionsResponse = await self._caller.repeatable(self._stub.ListPageVersions, request)
        return [PageVersion(**_version(one)) for one in answer.versions]

    async def restore(self, tenant: str, page_id: str, *, version: int, expected_version: int) -> Page:
        """See the port."""
        request = pb.RestorePageRequest(
            tenant_id=tenant, page_id=page_id, version=version, expected_version=expected_version
        )
        answer: pb.RestorePageResponse = await self._caller.once(self._stub.RestorePage, request)
        return _page(answer.page)

    async def delete(self, tenant: str, page_id: str) -> None:
        """See the port."""
        await self._caller.once(self._stub.DeletePage, pb.DeletePageRequest(tenant_id=tenant, page_id=page_id))


def _version(one: pb.Page) -> dict[str, Any]:
    return {
        "page_id": one.page_id,
        "version": one.version,
        "current": one.current,
        "parent_version": one.parent_version or None,
        "instruction": one.instruction or None,
        "title": one.title,
        "run_id": one.run_id,
        "session_id": one.session_id,
        "created_at": decoding.time(one.create_time),
        "usage": decoding.usage(one.usage),
    }


def _page(one: pb.Page) -> Page:
    return Page(
        **_version(one),
        blueprint=decoding.json_value(one.blueprint) or {},
        inputs=decoding.json_value(one.inputs) or {},
        slots=decoding.json_value(one.slots) or [],
        sources=decoding.json_value(one.sources) or [],
    )
