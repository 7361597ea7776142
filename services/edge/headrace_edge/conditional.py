"""Writes under preconditions: the store compares and writes at once, so no writer is overlooked."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from headrace_runtime import errors

from headrace_edge import preconditions
from headrace_edge.policy import Refused
from headrace_edge.preconditions import Precondition

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be written, and how its store says that something else is there."""

    what: str
    """Names it in refusals, such as workflow weekly-report."""
    changed: str
    """The reason of the Aborted of a write on top of another revision."""
    missing: str
    """The reason of the NotFound when it is not there."""
    read: Callable[[], Awaitable[int]]
    """Reads its revision. Raises NotFound."""

    async def revision(self) -> int | None:
        """The revision that is there, None for none. Raises ServiceError."""
        try:
            return await self.read()
        except errors.NotFound as error:
            if error.reason != self.missing:
                raise
            return None


async def create(target: Target, when: Precondition, write: Callable[[int], Awaitable[Result]]) -> Result:
    """Write what must be new. Raises Refused (412), ServiceError."""
    try:
        return await write(0)
    except errors.AlreadyExists as error:
        raise Refused(preconditions.failed(target.what, when, await target.revision())) from error


async def remove(target: Target, when: Precondition, delete: Callable[[int | None], Awaitable[None]]) -> None:
    """Remove what is there, if it is what the writer believes. Raises Refused (412), ServiceError."""
    if when.kind in ("absent", "unsaid"):
        await delete(None)
    else:
        await based(target, when, delete)


async def based(target: Target, when: Precondition, write: Callable[[int], Awaitable[Result]]) -> Result:
    """Write on top of a revision that is there. Raises Refused (412), ServiceError."""
    revision: int | None = when.revision
    if when.kind == "present":
        revision = await target.revision()
    if not revision:
        raise Refused(preconditions.failed(target.what, when, await target.revision()))
    try:
        return await write(revision)
    except (errors.Aborted, errors.NotFound) as error:
        if error.reason not in (target.changed, target.missing):
            raise
        raise Refused(preconditions.failed(target.what, when, await target.revision())) from error
