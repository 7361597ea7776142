"""Lists of the edge that come in pages, and tables of them."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from headrace_cli.client import EdgeClient
from headrace_cli.faults import FILE_WIDTH

MAX_LISTED = 1000
"""Records that a list shows."""
PAGE = 200
"""Records that are asked for at once."""

Json = Any


async def everything(edge: EdgeClient, path: str, **filters: str) -> tuple[list[dict[str, Json]], bool]:
    """The records of a list, and whether there are more than `MAX_LISTED`."""
    found: list[dict[str, Json]] = []
    cursor = ""
    while len(found) < MAX_LISTED:
        more = {"cursor": cursor} if cursor else {}
        answer = await edge.get(path, limit=PAGE, **filters, **more)
        found += answer.get("items") or []
        cursor = str(answer.get("next_cursor") or "")
        if not cursor:
            return found, False
    return found[:MAX_LISTED], True


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A plain table; the first column stands out."""
    found = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        found.add_column(column, overflow="fold")
    for first, *others in rows:
        found.add_row(Text(first, "bold"), *(Text(cell) for cell in others))
    return found


def console() -> Console:
    """Standard output; where no terminal says how wide it is, a record stays on its line."""
    out = Console(highlight=False)
    if not out.is_terminal:
        out.width = FILE_WIDTH
    return out


def when(time: Json) -> str:
    """A time of the API to the minute."""
    return str(time or "").replace("T", " ")[:16]
