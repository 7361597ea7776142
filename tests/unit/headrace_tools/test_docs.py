"""docs/tools.md: each example is a file that can be used."""

import re
from pathlib import Path

import pytest
from headrace_tools import tools_file

TEXT = (Path(__file__).parents[3] / "docs" / "tools.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
ENVIRONMENT = dict.fromkeys(re.findall(r"\b[A-Z]+_[A-Z]+\b", TEXT), "secret")


@pytest.mark.parametrize("block", BLOCKS)
def test_an_example_can_be_used(block: str) -> None:
    assert list(tools_file.parse(block, environment=ENVIRONMENT).all())


def test_the_examples_show_every_kind() -> None:
    kinds = {one.entry.kind for block in BLOCKS for one in tools_file.parse(block, environment=ENVIRONMENT).all()}
    assert kinds == {"http", "openapi", "mcp"}
