"""Parameters that several routes share."""

from typing import Annotated

from fastapi import Header, Path, Query

IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", description="The same key and body give the same run; another body gives 422."),
]
Cursor = Annotated[str, Query(max_length=512, description="`next_cursor` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=200, description="Most items of one page.")]
PathId = Annotated[str, Path(min_length=1, max_length=128)]
WorkspaceName = Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
