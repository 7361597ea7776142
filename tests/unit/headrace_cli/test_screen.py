"""Where a run's texts and what is told of it go."""

import io
from pathlib import Path

from headrace_cli.screen import Screen
from headrace_cli.view import Kind, Piece
from rich.console import Console

PIECES = (Piece(Kind.TEXT, "half of "), Piece(Kind.STAGE, "node:b"), Piece(Kind.TEXT, "a line\n"))


def test_a_text_in_a_file_of_its_own_is_not_broken_by_what_is_told_meanwhile(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        screen = Screen(out=Console(file=out), err=Console(file=err))
        for piece in PIECES:
            screen.piece(piece)

    assert (tmp_path / "out").read_text() == "half of a line\n"
    assert (tmp_path / "err").read_text() == "▸ node:b\n"


def test_in_one_place_each_thing_that_is_told_has_a_line(tmp_path: Path) -> None:
    with (tmp_path / "both").open("a") as out, (tmp_path / "both").open("a") as err:
        screen = Screen(out=Console(file=out), err=Console(file=err))
        for piece in PIECES:
            screen.piece(piece)
            out.flush()
            err.flush()
    file = io.StringIO()
    same = Screen(out=Console(file=file), err=Console(file=file))
    for piece in PIECES:
        same.piece(piece)

    assert (tmp_path / "both").read_text() == file.getvalue() == "half of \n▸ node:b\na line\n"
