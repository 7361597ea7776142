"""Notes as tools of the Model Context Protocol: over the standard streams, or with `--http PORT` over HTTP at /mcp.

Each executor starts a server of its own; they share the notes in one SQLite file.
"""

import argparse
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Literal

from mcp.server import MCPServer
from mcp.types import ToolAnnotations
from pydantic import BaseModel, Field

MAX_NOTES = 10_000
"""Notes that are kept; the oldest go first."""
BUSY_S = 5.0
"""How long a write waits for another server's."""
NOTES = Path(tempfile.gettempdir()) / "headrace-notes.sqlite"

Text = Annotated[str, Field(min_length=1, max_length=4000, description="What to remember.")]
Query = Annotated[str, Field(max_length=200, description="Words that the notes must have; empty finds the newest.")]
Limit = Annotated[int, Field(ge=1, le=50, description="Most notes of the answer.")]
NoteId = Annotated[int, Field(ge=1, description="As add and search tell it.")]

_SCHEMA = "CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL UNIQUE)"


class Note(BaseModel):
    """Something remembered."""

    id: int
    text: str


class Found(BaseModel):
    """What a search found."""

    notes: list[Note]
    total: int = Field(description="How many fit, those that were left out included.")


class Removed(BaseModel):
    """What a removal did."""

    removed: bool


class Notebook:
    """Notes in a file that several processes may use at once."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def add(self, text: str) -> Note:
        """Keep a text; one that is there already is not kept twice."""
        with self._connected() as database:
            database.execute("INSERT INTO notes (text) VALUES (?) ON CONFLICT (text) DO NOTHING", (text,))
            (number,) = database.execute("SELECT id FROM notes WHERE text = ?", (text,)).fetchone()
            database.execute("DELETE FROM notes WHERE id <= (SELECT max(id) FROM notes) - ?", (MAX_NOTES,))
        return Note(id=number, text=text)

    def search(self, query: str, limit: int) -> Found:
        """The newest notes that have all words of the query, in any case."""
        words = query.casefold().split()
        with self._connected() as database:
            rows = database.execute("SELECT id, text FROM notes ORDER BY id DESC").fetchall()
        fitting = [Note(id=number, text=text) for number, text in rows if all(word in text.casefold() for word in words)]
        return Found(notes=fitting[:limit], total=len(fitting))

    def remove(self, number: int) -> Removed:
        """Forget a note."""
        with self._connected() as database:
            return Removed(removed=database.execute("DELETE FROM notes WHERE id = ?", (number,)).rowcount > 0)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._file, timeout=BUSY_S)) as database, database:
            database.execute(_SCHEMA)
            yield database


def create_server(notebook: Notebook) -> MCPServer:
    """The server. Its hints say which calls may be repeated when it is not known whether they arrived."""
    server = MCPServer("notes", instructions="Remembers notes and finds them again.", log_level="WARNING")

    @server.tool(annotations=ToolAnnotations(idempotent_hint=True, destructive_hint=False))
    def add(text: Text) -> Note:
        """Remember a note. The same text twice is one note."""
        return notebook.add(text)

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    def search(query: Query = "", limit: Limit = 10) -> Found:
        """Find the newest notes that have all the words of a query."""
        return notebook.search(query, limit)

    @server.tool(annotations=ToolAnnotations(idempotent_hint=True, destructive_hint=True))
    def remove(id: NoteId) -> Removed:  # noqa: A002 - the argument's name is the tool's
        """Forget a note."""
        return notebook.remove(id)

    return server


def main() -> None:
    """Serve until the streams close, or until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--http", type=int, metavar="PORT", help="serve http://127.0.0.1:PORT/mcp instead")
    parser.add_argument("--file", type=Path, default=NOTES, help=f"where the notes are; {NOTES} when not given")
    chosen = parser.parse_args()
    server = create_server(Notebook(chosen.file))
    transport: Literal["stdio", "streamable-http"] = "stdio" if chosen.http is None else "streamable-http"
    try:
        server.run(transport, **({} if chosen.http is None else {"host": "127.0.0.1", "port": chosen.http}))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
