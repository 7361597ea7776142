"""Parameters that several routes share."""

from typing import Annotated, Any

from fastapi import Header, Path, Query

IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", description="The same key and body give the same run; another body gives 422."),
]
Cursor = Annotated[str, Query(max_length=512, description="`next_cursor` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=200, description="Most items of one page.")]
PathId = Annotated[str, Path(min_length=1, max_length=128)]
IfMatch = Annotated[str | None, Header(alias="If-Match", description="The ETag that the write is based on; `*` for any.")]
IfNoneMatch = Annotated[str | None, Header(alias="If-None-Match", description="`*`: only when it is new.")]
IfChanged = Annotated[str | None, Header(alias="If-None-Match", description="304 when this is the ETag.")]
ETAG = {"ETag": {"schema": {"type": "string"}, "description": 'The revision or version in quotes, such as "3".'}}
UNCHANGED: dict[int | str, dict[str, Any]] = {
    200: {"headers": ETAG},
    304: {"description": "The client has it already."},
}
WorkspaceName = Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
