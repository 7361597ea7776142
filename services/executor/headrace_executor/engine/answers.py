"""What a run ends with, in docs/api.md's shapes. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import orjson
from headrace_blueprint import references

from headrace_executor.engine import clarifications, large, page, passages
from headrace_executor.engine.execution import Executed
from headrace_executor.model import Json, Outcome
from headrace_executor.ports import Turn

BUILDS = frozenset({"build", "patch"})
"""Intents whose answer is a blueprint. A change that names no page is planned as a new build."""

NO_INPUTS: Mapping[str, Json] = MappingProxyType({})

MAX_GAPS = 200
"""Gaps that an answer lists."""
MAX_REPLY_CHARACTERS = 64 * 1024
"""Longest message for the session; the whole is the output of the run's nodes."""


GIVEN_UP = "All right, nothing was done. Tell me when you want to go on."
"""The reply to an answer that gives a question up."""


def planned(intent: Json, plan: Mapping[str, Json], inputs: Mapping[str, Json]) -> Outcome:
    """A conversation whose build was planned, {blueprint, origin, warnings}; `inputs` are what to run it with."""
    blueprint = plan["blueprint"]
    reply = f"Here is the plan “{blueprint.get('name', '')}” with {len(blueprint['nodes'])} steps."
    return Outcome({**_answer(intent, reply), **plan, "inputs": inputs}, reply)


def asked(intent: Json, interrupts: Sequence[Json], warnings: Sequence[str]) -> Outcome:
    """A run that cannot go on before something is answered; a workflow's has no intent."""
    reply = clarifications.reply(interrupts)
    output = {**_answer(intent, reply), "interrupts": list(interrupts), "warnings": list(warnings)}
    return Outcome(output, reply, interrupts)


def given_up(kind: str) -> Outcome:
    """A conversation whose question was not to be answered."""
    intent = {"kind": kind, "confidence": 1.0, "decided_by": "rules"}
    return Outcome(_answer(intent, GIVEN_UP), GIVEN_UP)


def conversed(intent: Json, executed: Executed, *, inputs: Mapping[str, Json] = NO_INPUTS) -> Outcome:
    """A conversation that was answered. `inputs` are what its plan was run with."""
    kind = intent["kind"]
    value = executed.output
    quiz = value if kind == "quiz" and not isinstance(value, str) else None
    reply = _questions(quiz) or _reply(executed)
    answer = {**_answer(intent, reply), "quiz": quiz, "citations": citations(executed)}
    if kind in BUILDS:
        answer["blueprint"] = executed.plan.blueprint.to_json()
    if executed.plan.blueprint.layout:
        answer["page"] = _page(executed)
    if executed.gaps:
        answer["gaps"] = _gaps(executed)
    if warnings := _shortage(quiz, inputs.get("questions")):
        answer["warnings"] = warnings
    return Outcome(_fitted(answer, executed), reply)


def paged(executed: Executed) -> Outcome:
    """A blueprint that was run as it was given."""
    answer = {
        "page": _page(executed),
        "output": executed.output,
        "citations": citations(executed),
        "gaps": _gaps(executed),
    }
    return Outcome(_fitted(answer, executed))


def bounded(outcome: Outcome, *, max_bytes: int) -> Outcome:
    """The outcome with its plan left to the step that has it, if that alone is too large."""
    answer = outcome.output
    if not isinstance(answer, Mapping) or not answer.get("blueprint"):
        return outcome
    return replace(outcome, output=large.fitted(answer, {("blueprint",): "plan"}, max_bytes=max_bytes))


def citations(executed: Executed) -> Sequence[Mapping[str, Json]]:
    """The passages that the run's searches found, in the order of the plan, as many as an answer has room for."""
    left, shown = executed.limits.max_citations_bytes, []
    for one in sources(executed):
        left -= len(orjson.dumps(one))
        if left < 0:
            break
        shown.append(one)
    return shown


def sources(executed: Executed) -> Sequence[Mapping[str, Json]]:
    """Every passage that the run's searches found, in the order of the plan."""
    return passages.citations(executed.searches)


def rendered(history: Sequence[Turn], *, max_characters: int) -> str:
    """Earlier messages as prompts read them, the oldest left out first when they are too long."""
    lines: list[str] = []
    left = max_characters
    for turn in reversed(history):
        line = f"{turn.role}: {turn.text}"
        left -= len(line) + 1
        if left < 0:
            break
        lines.append(line)
    return "\n".join(reversed(lines))


def _answer(intent: Json, reply: str) -> dict[str, Json]:
    return {"intent": intent, "reply": reply, "blueprint": None, "quiz": None, "citations": []}


def _page(executed: Executed) -> Json:
    return page.whole(executed.plan.blueprint, executed.outputs, executed.gaps, executed.page)


def _gaps(executed: Executed) -> list[Json]:
    return [gap.to_json() for gap in executed.gaps[:MAX_GAPS]]


def _fitted(answer: dict[str, Json], executed: Executed) -> Json:
    """The answer within its limit: the largest values are replaced, with the steps that have them."""
    slots = answer.get("page", {}).get("slots", ())
    steps: dict[tuple[str | int, ...], str] = {
        ("page", "slots", index, "value"): f"node:{slot['node']}" for index, slot in enumerate(slots)
    }
    whole = references.parse(executed.plan.blueprint.output[2:-1]).node
    steps |= {(name,): f"node:{whole}" for name in ("output", "quiz") if answer.get(name) is not None}
    steps |= {(name,): "plan" for name in ("blueprint",) if answer.get(name) is not None}
    return large.fitted(answer, steps, max_bytes=executed.limits.max_result_bytes)


def _reply(executed: Executed) -> str:
    """The output when it is a text, else the page's texts under their titles, else the output's JSON."""
    if isinstance(executed.output, str):
        text = executed.output
    else:
        slots = _page(executed)["slots"]
        texts = [f"## {slot['title']}\n\n{slot['value']}" for slot in slots if isinstance(slot["value"], str)]
        text = "\n\n".join(texts) or orjson.dumps(executed.output).decode()
    return text if len(text) <= MAX_REPLY_CHARACTERS else f"{text[:MAX_REPLY_CHARACTERS]}…"


def _shortage(quiz: Json, wanted: Json) -> list[str]:
    """What a quiz says that has fewer questions than its plan was to make."""
    match quiz:
        case {"questions": [*questions]} if isinstance(wanted, int) and len(questions) < wanted:
            return [f"the quiz has {len(questions)} of {wanted} questions: the others could not be made, or were the same"]
        case _:
            return []


def _questions(quiz: Json) -> str:
    """A quiz as a text, without its answers; "" for JSON of another shape than the built-in plan's."""
    match quiz:
        case {"title": str(title), "questions": [*questions]}:
            lines = [title]
        case _:
            return ""
    for number, one in enumerate(questions, 1):
        match one:
            case {"question": str(question), "options": [*options]}:
                lines += [
                    "",
                    f"{number}. {question}",
                    *(f"   {chr(65 + at)}) {option}" for at, option in enumerate(options)),
                ]
            case _:
                return ""
    return "\n".join(lines)
