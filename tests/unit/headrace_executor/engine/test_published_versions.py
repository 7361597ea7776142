"""What was published still runs: every document of version 1 as it was first written gives what it gave then.

tests/unit/headrace_blueprint/test_versions.py holds the same documents against the language. What each node comes to is
written out here, worked out by hand from the document, with doubles of everything outside.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine_runs import PageRun
from tests.support.executor_fakes import FakeModels, FakeRag, FakeWorkflows, answer

Json = Any

DATA = Path(__file__).parents[3] / "data/blueprints"
CORPUS = {file.stem: json.loads(file.read_text()) for file in sorted((DATA / "v1").glob("*.json"))}
NOW = {"time": "2026-01-02T03:04:05+00:00", "timezone": "UTC", "weekday": "Friday", "unix_s": 1767323045}
NOW_TEXT = '{"time":"2026-01-02T03:04:05+00:00","timezone":"UTC","weekday":"Friday","unix_s":1767323045}'
QUIZ = {"question": "Which mill?", "options": ["wind", "water"]}


def saved(prompt: str) -> Json:
    """A workflow that says something."""
    nodes = [{"id": "say", "kind": "compose", "prompt": prompt}]
    return {"version": 1, "name": "saved", "inputs": {}, "nodes": nodes, "output": "${nodes.say.output}"}


WORKFLOWS = {
    "class-report": saved("${inputs.class}, ${inputs.size}, ${inputs.deep}"),
    "other": saved("the other"),
    "report": saved("about ${inputs.name}"),
}
WORKFLOWS["class-report"]["inputs"] = {"properties": {name: {} for name in ("class", "size", "deep")}}
WORKFLOWS["report"]["inputs"] = {"properties": {"name": {"type": "string"}}}


def found(query: str, *, top_k: int = 2) -> Json:
    """What a search comes to: the rag double finds at most two passages."""
    chunks = [
        {"document_id": "d0", "title": "Title 0", "text": f"about {query}", "score": 0.9},
        {"document_id": "d1", "title": "Title 1", "text": f"about {query}", "score": 0.8},
    ]
    lines = [f"[1] Title 0\nabout {query}", f"[2] Title 1\nabout {query}"]
    return {"chunks": chunks[:top_k], "entities": [], "relations": [], "text": "\n\n".join(lines[:top_k])}


@dataclass(frozen=True)
class Case:
    """A run of a document."""

    document: str
    output: Json
    outputs: Mapping[str, Json]
    """Of every node that was worked on, by its path."""
    inputs: Mapping[str, Json] = field(default_factory=dict)
    asked: Json = None
    """What the rag double was asked: query, workspace, mode, top_k."""


CASES = [
    Case(
        "branch",
        [None, answer("small"), None],
        {
            "first": 1,
            "way": {"case": 1, "then": ["small", "both"]},
            "bare": {"case": 0, "then": []},
            "large": None,
            "small": answer("small"),
            "both": answer("both"),
            "none": None,
            "end": [None, answer("small"), None],
        },
        {"text": "t", "n": 10},
    ),
    Case(
        "branch",
        [answer("large"), None, None],
        {
            "first": 1,
            "way": {"case": 0, "then": ["large"]},
            "bare": {"case": 0, "then": []},
            "large": answer("large"),
            "small": None,
            "both": None,
            "none": None,
            "end": [answer("large"), None, None],
        },
        {"text": "t", "n": 11},
    ),
    Case(
        "branch",
        [None, None, None],
        {
            "first": 1,
            "way": None,
            "bare": {"case": 0, "then": []},
            "large": None,
            "small": None,
            "both": None,
            "none": None,
            "end": [None, None, None],
        },
        {"text": "t", "n": 1, "yes": False},
    ),
    Case(
        "compose",
        answer("Which mill?"),
        {"first": 1, "quiz": QUIZ, "plain": answer("Which mill?")},
        {"text": "mills"},
    ),
    Case(
        "compute",
        12,
        {"first": 1, "sum": 8, "long": ["MILL", "WATER"], "math": 12},
        {"text": "t", "n": 4, "list": ["ox", "mill", "water"]},
    ),
    Case(
        "compute",
        1,
        {"first": 1, "sum": 1, "long": [], "math": 1},
        {"text": "t", "list": []},
    ),
    Case(
        "data",
        {"value": 2, "text": "2"},
        {
            "first": 1,
            "sum": {"value": 2, "text": "2"},
            "now": NOW,
            "found": found(f"mills {NOW_TEXT}", top_k=1),
        },
        {"text": "mills", "n": 1},
        asked=[(f"mills {NOW_TEXT}", "w", "naive", 1)],
    ),
    Case(
        "flow",
        answer('3b, 1, [{"a":7}]'),
        {
            "first": 1,
            "saved": answer('3b, 1, [{"a":7}]'),
            "saved/say": answer('3b, 1, [{"a":7}]'),
            "bare": answer("the other"),
            "bare/say": answer("the other"),
        },
        {"text": "3b", "n": 7},
    ),
    Case("inputs", answer("Greet Ann, who is 9."), {"hello": answer("Greet Ann, who is 9.")}, {"name": "Ann"}),
    Case("inputs", answer("Greet Ann, who is 0."), {"hello": answer("Greet Ann, who is 0.")}, {"name": "Ann", "age": 0}),
    Case(
        "map",
        [answer("about 1 + 2"), answer("about 4 * 5")],
        {
            "first": 1,
            "each": [answer("Explain 1 + 2 beside 1"), answer("Explain 4 * 5 beside 1")],
            "each[0]": answer("Explain 1 + 2 beside 1"),
            "each[1]": answer("Explain 4 * 5 beside 1"),
            "plain": [9, 9],
            "plain[0]": 9,
            "plain[1]": 9,
            "looked_up": [found("1 + 2"), found("4 * 5")],
            "looked_up[0]": found("1 + 2"),
            "looked_up[1]": found("4 * 5"),
            "worked_out": [{"value": 3, "text": "3"}, {"value": 20, "text": "20"}],
            "worked_out[0]": {"value": 3, "text": "3"},
            "worked_out[1]": {"value": 20, "text": "20"},
            "run": [answer("about 1 + 2"), answer("about 4 * 5")],
            "run[0]": answer("about 1 + 2"),
            "run[0]/say": answer("about 1 + 2"),
            "run[1]": answer("about 4 * 5"),
            "run[1]/say": answer("about 4 * 5"),
        },
        {"text": "t", "list": ["1 + 2", "4 * 5"]},
        asked=[("1 + 2", "", "naive", 5), ("4 * 5", "", "naive", 5)],
    ),
    Case("open_inputs", "deep", {"a": [5]}, {"whatever": [5], "other": [{"x": "deep"}]}),
    Case("order", 0, {f"n{number}": 0 for number in range(12)}),
    Case(
        "page",
        answer(f"Close: {answer('Open: mills')}"),
        {
            "early": answer("Open: mills"),
            "late": answer(f"Close: {answer('Open: mills')}"),
            "apart": answer("Alone."),
        },
        {"text": "mills"},
    ),
    Case(
        "retrieve",
        found("more of about mills"),
        {"first": 1, "found": found("mills"), "again": found("more of about mills")},
        {"text": "mills"},
        asked=[("mills", "notes", "hybrid", 7), ("more of about mills", "", "naive", 5)],
    ),
    Case("smallest", 2, {"a": 2}),
]


class Asked(FakeRag):
    """Notes how it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str, str, int]] = []

    async def search(self, run: Any, *, query: str, workspace: str, mode: str, top_k: int) -> Any:
        self.asked.append((query, workspace, mode, top_k))
        return await super().search(run, query=query, workspace=workspace, mode=mode, top_k=top_k)


def say(prompt: str) -> str:
    """What the model double says: a quiz where one is asked for."""
    return json.dumps(QUIZ) if prompt.startswith("Ask about") else answer(prompt)


def named(case: Case) -> str:
    return f"{case.document} {CASES.index(case)}"


@pytest.mark.parametrize("case", CASES, ids=named)
async def test_a_document_of_that_time_gives_what_it_gave_then(case: Case) -> None:
    rag, models = Asked(), FakeModels(say=say)
    run = PageRun(CORPUS[case.document], case.inputs, models=models, rag=rag, workflows=FakeWorkflows(WORKFLOWS))
    assert await run.output() == case.output
    assert run.outputs() == case.outputs
    assert sorted(rag.asked) == sorted(case.asked or [])


def test_every_document_of_that_time_is_run() -> None:
    assert {case.document for case in CASES} == set(CORPUS)


async def test_a_model_is_asked_as_the_document_says() -> None:
    models = FakeModels(say=say)
    await PageRun(CORPUS["compose"], {"text": "mills"}, models=models).output()
    quiz, plain = models.requests
    assert quiz.messages[0].content == "Ask about mills: ${not a reference}"
    assert (quiz.model, quiz.max_tokens, quiz.schema) == ("qwen-max", 500, CORPUS["compose"]["nodes"][1]["schema"])
    assert (plain.model, plain.schema) == ("", None)


async def test_a_page_of_that_time_fills_its_slots() -> None:
    run = PageRun(CORPUS["page"], {"text": "mills"})
    outcome = await run.start()
    first, second, third = answer("Open: mills"), answer(f"Close: {answer('Open: mills')}"), answer("Alone.")
    shown = [(slot["slot"], slot["title"], slot["value"]) for slot in outcome.output["page"]["slots"]]
    assert shown == [("top", "Top", first), ("middle", "中", second), ("again", "Top again", first), ("end", "End", third)]
