"""A run that asks back, as an AG-UI client reads it."""

from collections.abc import Mapping
from typing import Any

import orjson
from ag_ui.core import Event, RunAgentInput, RunFinishedEvent, RunFinishedInterruptOutcome
from headrace_executor import events
from headrace_executor.engine import clarifications
from headrace_executor.engine.entities import Mention, Record
from headrace_executor.model import Outcome, RunState
from headrace_executor.ports import Interrupted
from headrace_executor.runs.journal import BufferLimits, RunJournal
from headrace_llm.usage import Usage
from pydantic import TypeAdapter

from tests.support import agui
from tests.support.executor_fakes import claimed

RUN = "01890a5d-ac96-774b-bcce-b302099a8057"
MENTION = Mention(
    "3B", 0, 2, (Record("class", 1, ("3B",), {"year": 2024}), Record("class", 2, ("3B",), {"year": 2025})), exact=True
)


class Stored:
    """What a journal would have stored."""

    def __init__(self) -> None:
        self.events: list[Mapping[str, Any]] = []
        self.state: RunState | None = None

    def mark(self, journal: RunJournal, urgent: bool) -> None:
        write = journal.take()
        if write is None:
            return
        self.events += [orjson.loads(data) for data in write.chunk.events]
        if write.ending is not None:
            self.state = write.ending.state
            self.output = orjson.loads(write.ending.output)
        journal.stored(write)


async def asked_back() -> Stored:
    stored = Stored()
    journal = RunJournal(claimed({}, run_id=RUN), last_seq=0, mark=stored.mark, limits=BufferLimits())
    journal.emit(events.run_started("s1", RUN))
    journal.emit(events.step_started("resolve"))
    asked = clarifications.interrupts(RUN, "build", [MENTION])
    journal.record("resolve", {}, usage=Usage(), events=[clarifications.told(asked[0]), events.step_finished("resolve")])
    await journal.succeed(Outcome({"interrupts": list(asked)}, clarifications.reply(asked), asked))
    return stored


async def test_it_ends_well_with_an_interrupt_that_the_protocol_knows() -> None:
    stored = await asked_back()
    agui.check(stored.events)
    assert stored.state is RunState.SUCCEEDED
    last = TypeAdapter(Event).validate_python(stored.events[-1])
    assert isinstance(last, RunFinishedEvent)
    assert isinstance(last.outcome, RunFinishedInterruptOutcome)
    (interrupt,) = last.outcome.interrupts
    assert (interrupt.id, interrupt.reason) == (f"{RUN}:0", "clarification")
    assert interrupt.response_schema == {"enum": [1, 2]}
    assert interrupt.message == "Which class is meant by “3B”: 3B (year 2024) or 3B (year 2025)?"
    kinds = [event.get("name", event["type"]) for event in stored.events]
    assert kinds.index("headrace.clarification") < kinds.index("RUN_FINISHED")


async def test_what_a_client_of_the_protocol_answers_is_understood() -> None:
    stored = await asked_back()
    asked = stored.events[-1]["outcome"]["interrupts"]
    given = RunAgentInput.model_validate(
        {
            "threadId": "s1",
            "runId": "next",
            "messages": [],
            "resume": [{"interruptId": asked[0]["id"], "status": "resolved", "payload": 2}],
        }
    )
    assert given.resume is not None
    resume = [one.model_dump(include={"interrupt_id", "status", "payload"}) for one in given.resume]
    assert clarifications.asking_run(resume) == RUN
    answers = clarifications.answered(resume, Interrupted({}, stored.output["interrupts"]))
    assert [(one.kind, one.id) for one in answers.chosen] == [("class", 2)]
