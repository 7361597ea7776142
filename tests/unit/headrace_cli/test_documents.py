"""Blueprints and inputs as people write them, and the line of what a pointer names."""

import json
from pathlib import Path
from typing import Any

import pytest
from headrace_cli import documents
from headrace_cli.errors import CliError
from hypothesis import given
from hypothesis import strategies as st

YAML = """\
# a comment
name: x
nodes:
  - id: a
    args: {"k/1": 1}

  - id: b
"""


def read(tmp_path: Path, text: str) -> documents.Document:
    file = tmp_path / "document"
    file.write_text(text)
    return documents.read(file)


@pytest.mark.parametrize(
    ("pointer", "line"),
    [("", 2), ("/name", 2), ("/nodes/0/id", 4), ("/nodes/0/args/k~11", 5), ("/nodes/1", 7), ("/nodes/1/x", 7)],
)  # fmt: skip
def test_a_pointer_leads_to_its_line_or_that_of_what_is_there(tmp_path: Path, pointer: str, line: int) -> None:
    assert read(tmp_path, YAML).line(pointer) == line


@pytest.mark.parametrize("indent", [2, "\t"])
def test_json_has_lines_too_also_with_tabs(tmp_path: Path, indent: int | str) -> None:
    document = read(tmp_path, json.dumps({"name": "x", "nodes": [{"id": "a"}, {"id": "b"}]}, indent=indent))

    assert [document.line(f"/nodes/{at}/id") for at in (0, 1)] == [5, 8]


def test_yaml_is_read_as_json_has_it(tmp_path: Path) -> None:
    assert read(tmp_path, "day: 2026-03-01\nn: 1\n").value == {"day": "2026-03-01", "n": 1}


@pytest.mark.parametrize("text", ["[1]", "a: [", "\x00", "", "a: .nan", "a: !!set {b}", "a: !!python/name:os.system"])
def test_what_json_cannot_carry_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(CliError) as caught:
        read(tmp_path, text)

    assert "document" in str(caught.value)


def test_what_is_too_large_or_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_BYTES", 20)
    with pytest.raises(CliError, match="larger than 20 bytes"):
        read(tmp_path, "name: a name that is long\n")
    with pytest.raises(CliError, match="No such file"):
        documents.read(tmp_path / "nowhere")


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab/~é \n", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~", max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text("ab/~", max_size=3), _json, max_size=4))
def test_every_part_of_a_json_document_is_on_the_line_where_it_was_written(value: dict[str, Any]) -> None:
    text = json.dumps(value, indent=1)
    root = documents._nodes(text)
    document = documents.Document("d", value, root)

    pending: list[tuple[str, Any]] = [("", value)]
    while pending:
        pointer, one = pending.pop()
        line = document.line(pointer)
        assert line is not None
        assert 1 <= line <= len(text.splitlines())
        children = one.items() if isinstance(one, dict) else enumerate(one) if isinstance(one, list) else ()
        for key, child in children:
            below = f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"
            found = document.line(below)
            assert found is not None
            assert found > line
            pending.append((below, child))
