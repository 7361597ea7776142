"""Lines of a process's output: each whole, none kept that is too long."""

import codecs
import json
from typing import Any

import pytest
from headrace_tools.adapters import mcp_lines
from hypothesis import given
from hypothesis import strategies as st

LIMIT = 1000


def _read(data: bytes, *, pieces: int = 65_536, limit: int = LIMIT) -> list[str]:
    decoder = codecs.getincrementaldecoder(mcp_lines.encoding(limit))(errors="strict")
    text = "".join(decoder.decode(data[at : at + pieces]) for at in range(0, len(data), pieces))
    return text.split("\n")[:-1]


def _message(**fields: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **fields}).encode() + b"\n"


LONG = {"content": [{"type": "text", "text": "x" * 5000, "id": 99}]}


@given(
    st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=200)), st.integers(1, 50)
)
def test_short_lines_come_as_they_are_however_they_arrive(lines: list[str], pieces: int) -> None:
    assert _read("".join(f"{line}\n" for line in lines).encode(), pieces=pieces) == lines


@given(st.integers(1, 6000))
def test_a_long_answer_is_an_error_to_its_call(pieces: int) -> None:
    """The protocol's own servers write the id first, or last."""
    for long in (_message(id=7, result=LONG), json.dumps({"result": LONG, "jsonrpc": "2.0", "id": 7}).encode() + b"\n"):
        before, error, after = _read(b"{}\n" + long + b"[]\n", pieces=pieces)
        assert (before, after) == ("{}", "[]")
        assert json.loads(error) == {
            "jsonrpc": "2.0", "id": 7, "error": {"code": -32603, "message": mcp_lines.TOO_LARGE},
        }  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        _message(method="sampling/createMessage", id=7, params=LONG),
        _message(method="notifications/progress", params=LONG),
        json.dumps({"result": LONG, "id": 7, "jsonrpc": "2.0"}).encode() + b"\n",
        _message(id=None, result=LONG),
        _message(id=[7], result=LONG),
        b"x" * 5000 + b"\n",
        b"[" * 5000 + b"\n",
        b"\xff" * 5000 + b"\n",
        b'"' + b"x" * 5000 + b'","id":7}\n',
    ],
)
def test_what_is_long_and_answers_nothing_known_is_said_to_be_so(line: bytes) -> None:
    (said,) = _read(line)
    assert json.loads(said) == {"jsonrpc": "2.0", "method": mcp_lines.UNKNOWN}


def test_a_line_without_an_end_is_given_up_and_nothing_of_it_is_kept() -> None:
    decoder = codecs.getincrementaldecoder(mcp_lines.encoding(LIMIT))()
    piece = b"x" * 1024 * 1024
    said = "".join(decoder.decode(piece) for _ in range(mcp_lines.MAX_SKIPPED_BYTES // len(piece) + 2))
    assert json.loads(said)["method"] == mcp_lines.UNKNOWN
    assert len(vars(decoder)["_line"]) < LIMIT


@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_bytes_are_lines(data: bytes, pieces: int) -> None:
    assert len(_read(data, pieces=pieces, limit=20)) == data.count(b"\n")


@pytest.mark.parametrize("name", ["headrace-lines-", "headrace-lines-x", "lines-5", "5"])
def test_no_other_name_is_an_encoding(name: str) -> None:
    with pytest.raises(LookupError):
        codecs.lookup(name)
