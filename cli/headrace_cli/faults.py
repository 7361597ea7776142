"""What is wrong with a blueprint, as a table: line, pointer, message and hint."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from headrace_cli.documents import Document

FILE_WIDTH = 200
"""Columns where there is no terminal that says how many it has."""

Json = Any


def show(console: Console, faults: Sequence[Mapping[str, Json]], documents: Mapping[str, Document]) -> None:
    """Print faults of `POST /api/workflows/validate`; `documents` are what their pointers lead into."""
    if not console.is_terminal:
        console.width = FILE_WIDTH
    console.print(table(faults, documents))


def table(faults: Sequence[Mapping[str, Json]], documents: Mapping[str, Document]) -> Table:
    """A row for each fault, in the order of the lines."""
    rows = [_row(fault, documents) for fault in faults]
    lines = any(line for line, *_ in rows)
    found = Table(box=None, pad_edge=False, header_style="dim")
    if lines:
        found.add_column("LINE", justify="right")
    for name in ("POINTER", "WHAT IS WRONG", "WHAT TO DO"):
        found.add_column(name, overflow="fold")
    for line, pointer, message, hint in sorted(rows, key=lambda row: row[0]):
        cells = [Text(pointer, "cyan"), Text(message), Text(hint, "green")]
        found.add_row(*([Text(str(line) if line else "", "bold")] if lines else []), *cells)
    return found


def _row(fault: Mapping[str, Json], documents: Mapping[str, Document]) -> tuple[int, str, str, str]:
    pointer = str(fault.get("pointer", ""))
    root, inner = next(
        ((root, pointer.removeprefix(root)) for root in documents if pointer == root or pointer.startswith(f"{root}/")),
        ("", pointer),
    )
    line = (documents[root].line(inner) or 0) if root else 0
    shown = inner if root == "/blueprint" else pointer
    return line, shown or "/", str(fault.get("message", "")), str(fault.get("hint") or "")
