"""What a run asks back when a name stands for several records, and what the answers to that mean. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from headrace_executor import events
from headrace_executor.engine import written
from headrace_executor.engine.entities import Mention, Record
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode, Json
from headrace_executor.ports import Entity, Event, Interrupted

REASON = "clarification"
MAX_INTERRUPTS = 5
"""Names that one run asks about; the others are asked about by the run that has these answers."""
MAX_CANDIDATES = 20
"""Records that one question offers."""
MAX_LABELLED = 5
"""Candidates that the question itself names."""

Interrupt = Mapping[str, Json]


def interrupts(run_id: str, intent: str, mentions: Sequence[Mention]) -> Sequence[Interrupt]:
    """AG-UI's Interrupt for each mention that is ambiguous: RUN_ID:0, RUN_ID:1, …"""
    asked = [one for one in mentions if one.ambiguous][:MAX_INTERRUPTS]
    return [_interrupt(f"{run_id}:{number}", intent, one) for number, one in enumerate(asked)]


def told(interrupt: Interrupt) -> Event:
    """What tells readers that something is asked back."""
    about = interrupt["metadata"]
    value = {"interrupt_id": interrupt["id"], "message": interrupt["message"], **about}
    return events.custom("headrace.clarification", value)


def reply(asked: Sequence[Interrupt]) -> str:
    """The questions as the assistant's message."""
    return "\n\n".join(str(one["message"]) for one in asked)


@dataclass(frozen=True, slots=True)
class Answers:
    """What was answered to a run that had asked back."""

    chosen: tuple[Entity, ...] = ()
    intent: str = ""
    """What the asking run was about; "" when nothing was answered."""
    cancelled: bool = False
    """Whether the question was given up."""

    def settles(self, mention: Mention) -> bool:
        """Whether it says which record a mention means."""
        text = written.normalised(mention.text)
        return any(written.normalised(one.text) == text for one in self.chosen)


def asking_run(resume: Sequence[Mapping[str, Json]]) -> str:
    """The run whose questions are answered. Raises `RunFailed` when they are of several runs, or of none."""
    runs = {str(entry.get("interrupt_id", "")).rpartition(":")[0] for entry in resume}
    if len(runs) != 1 or "" in runs:
        raise _wrong("the entries of resume must answer the interrupts, RUN_ID:N, of one run")
    return runs.pop()


def answered(resume: Sequence[Mapping[str, Json]], asked: Interrupted | None) -> Answers:
    """Hold answers against the questions. Each question has to be answered, or the whole is given up.

    Raises `RunFailed` when the session knows no such question, or an answer is none of its candidates.
    """
    known = {str(one["id"]): one for one in asked.interrupts} if asked is not None else {}
    if not known:
        raise _wrong("no run of this session asked that back; send the message again")
    intent = str(next(iter(known.values()))["metadata"].get("intent", ""))
    given = {str(entry["interrupt_id"]): entry for entry in resume}
    if unknown := given.keys() - known.keys():
        raise _wrong(f"there is no interrupt {min(unknown)}; there are {', '.join(known)}")
    if any(entry["status"] == "cancelled" for entry in given.values()):
        return Answers(intent=intent, cancelled=True)
    if missing := [one for one in known if one not in given]:
        raise _wrong(f"the interrupt {missing[0]} is not answered; answer each of {', '.join(known)}")
    return Answers(tuple(_chosen(known[name], entry.get("payload")) for name, entry in given.items()), intent)


def as_inputs(entities: Iterable[Entity]) -> Mapping[str, Json]:
    """`inputs.entities`: under KIND the first of a kind, {id, name}, and under KIND_all a list of all of them."""
    grouped: dict[str, list[Json]] = {}
    for one in entities:
        grouped.setdefault(one.kind, []).append({"id": one.id, "name": one.name})
    return {
        **{kind: found[0] for kind, found in grouped.items()},
        **{f"{kind}_all": all_ for kind, all_ in grouped.items()},
    }


def _interrupt(interrupt_id: str, intent: str, mention: Mention) -> Interrupt:
    offered = mention.records[:MAX_CANDIDATES]
    kinds = list(dict.fromkeys(record.kind for record in offered))
    candidates = [_candidate(record, mixed=len(kinds) > 1) for record in offered]
    kind = kinds[0] if len(kinds) == 1 else "record"
    labels = [_label(record, offered) for record in offered[:MAX_LABELLED]]
    more = f" or one of {len(mention.records) - len(labels)} others" if len(mention.records) > len(labels) else ""
    options = ", ".join(labels[:-1]) + f" or {labels[-1]}" if not more else ", ".join(labels) + more
    return {
        "id": interrupt_id,
        "reason": REASON,
        "message": f"Which {kind} is meant by “{mention.text}”: {options}?",
        "responseSchema": {"enum": [one["id"] for one in candidates]},
        "metadata": {"kind": kind, "text": mention.text, "candidates": candidates, "intent": intent},
    }


def _candidate(record: Record, *, mixed: bool) -> Json:
    """A record as it is offered. Of several kinds the ids may be the same, so that they name the kind too."""
    own = {"id": record.id, "name": record.names[0], "kind": record.kind}
    if mixed:
        own |= {"id": f"{record.kind}:{record.id}", "record_id": record.id}
    return {**{name: value for name, value in record.details.items() if name != "record_id"}, **own}


def _label(record: Record, among: Sequence[Record]) -> str:
    """How the question names a record: with what tells it from the others."""
    differing = [
        f"{name} {value}"
        for name, value in record.details.items()
        if any(other.details.get(name) != value for other in among)
    ]
    alike = sum((other.kind, other.names[0]) == (record.kind, record.names[0]) for other in among)
    facts = differing[:2] or ([str(record.id)] if alike > 1 else [])
    kind = [record.kind] if len({other.kind for other in among}) > 1 else []
    about = ", ".join([*kind, *facts])
    return f"{record.names[0]} ({about})" if about else record.names[0]


def _chosen(interrupt: Interrupt, payload: Json) -> Entity:
    about = interrupt["metadata"]
    for candidate in about["candidates"]:
        if type(candidate["id"]) is type(payload) and candidate["id"] == payload:
            record_id = candidate.get("record_id", candidate["id"])
            return Entity(candidate["kind"], record_id, candidate["name"], about["text"])
    allowed = ", ".join(orjson.dumps(one).decode() for one in interrupt["responseSchema"]["enum"])
    raise _wrong(f"the payload of {interrupt['id']} must be one of {allowed}")


def _wrong(text: str) -> RunFailed:
    return RunFailed(FailureCode.INVALID_BLUEPRINT, f"The answer cannot be used: {text}.")
