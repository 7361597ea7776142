"""docs/blueprints.md's examples give what the page says that they give."""

import pytest

from tests.support.engine_runs import PageRun
from tests.unit.docs.test_blueprints import Example, Run, examples

RUNS = [(example, run) for example in examples() for run in example.runs]


@pytest.mark.parametrize(("example", "run"), RUNS, ids=[f"{example.title}: {run.inputs}" for example, run in RUNS])
async def test_an_example_gives_what_the_page_says(example: Example, run: Run) -> None:
    assert await PageRun(example.document, run.inputs).output() == run.output
