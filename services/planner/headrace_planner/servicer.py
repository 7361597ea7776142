"""PlannerService on the wire: decode and check, call a use case, encode. No protobuf message goes below `codec`."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import grpc
from headrace.planner.v1 import planner_pb2, planner_pb2_grpc
from headrace_blueprint.faults import Fault

from headrace_planner import codec
from headrace_planner.errors import PatchUnclear
from headrace_planner.patching.service import Patcher
from headrace_planner.service import Planner

INLINE_BYTES = 16 * 1024
"""A larger request is read in a thread: the event loop goes on while blueprints and tools' schemas are checked."""

T = TypeVar("T")
A = TypeVar("A")


class PlannerServicer(planner_pb2_grpc.PlannerServiceServicer):
    """Decodes, calls `Planner` or `Patcher`, encodes. At most `threads` large requests are read at once; others wait."""

    def __init__(self, planner: Planner, patcher: Patcher, *, threads: int = 1) -> None:
        self._planner = planner
        self._patcher = patcher
        self._threads = asyncio.Semaphore(threads)

    async def Plan(  # noqa: N802 - the contract's name
        self, request: planner_pb2.PlanRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> planner_pb2.PlanResponse:
        """Make a valid blueprint. Raises `InvalidArgument`."""
        asked = await self._read(codec.decode_plan, request, size=request.ByteSize())
        plan = await self._planner.plan(asked, budget_s=context.time_remaining())
        return codec.encode_plan(plan)

    async def Patch(  # noqa: N802 - the contract's name
        self, request: planner_pb2.PatchRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> planner_pb2.PatchResponse:
        """Change a page's blueprint. Raises `InvalidArgument` and `PatchTooLong`."""
        asked = await self._read(codec.decode_patch, request, size=request.ByteSize())
        try:
            return codec.encode_patch(await self._patcher.patch(asked, budget_s=context.time_remaining()))
        except PatchUnclear as error:
            return codec.encode_unclear(error)

    async def Validate(  # noqa: N802 - the contract's name
        self, request: planner_pb2.ValidateRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> planner_pb2.ValidateResponse:
        """List every fault of a blueprint. Raises `InvalidArgument`."""
        faults = await self._read(self._faults, request, size=request.ByteSize())
        return planner_pb2.ValidateResponse(
            faults=[planner_pb2.Fault(pointer=f.pointer, message=f.message, hint=f.hint) for f in faults]
        )

    def _faults(self, request: planner_pb2.ValidateRequest) -> Sequence[Fault]:
        return self._planner.faults(*codec.decode_validate(request))

    async def _read(self, read: Callable[[A], T], what: A, *, size: int) -> T:
        if size <= INLINE_BYTES:
            return read(what)
        async with self._threads:
            return await asyncio.to_thread(read, what)
