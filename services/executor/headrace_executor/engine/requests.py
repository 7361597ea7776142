"""What a run's body says, by kind. The edge has checked shapes; what is missing here is a run that cannot succeed. Pure."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import orjson
from headrace_blueprint import fit, schemas, validation
from headrace_blueprint import tools as builtin
from headrace_blueprint.faults import Fault, InvalidBlueprint, pointer
from headrace_blueprint.plan import Plan, compile_plan
from headrace_blueprint.validation import Tools

from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode, Json
from headrace_executor.ports import Turn

Body = Mapping[str, Json]

CONVERSATIONAL = frozenset({"chat", "qa"})
"""Intents whose model answers the message itself, with the session's memories and the tools that the request names."""
CACHED = 64
"""Blueprints that a process keeps compiled: a run needs its own several times, the built-in ones come with every run."""
CACHED_BYTES = 2 * 1024 * 1024
"""Most JSON bytes that those have together."""
DEFAULT_RECALL = 5
"""Memories of a request that names no number."""
MAX_SAID = 10
"""Faults that a failure's message lists."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A message to be answered."""

    message: str
    mode: str
    model: str
    workspace: str
    tools: tuple[str, ...]
    sources: tuple[str, ...]
    execute: bool
    """False: a build is planned and not run."""
    blueprint: Json | None
    """The caller's own plan, None for the planner's."""
    recall: int = 0
    """Most memories of the session that go into the answer; 0 asks for none."""
    history: tuple[Turn, ...] | None = None
    """Earlier messages that the caller sent along, perhaps an empty list; None means those of the session."""


def given(request: Conversation, *, history: str, entities: Mapping[str, Json], memories: str = "") -> dict[str, Json]:
    """What a conversation gives the inputs of its plan."""
    return {
        "message": request.message,
        "history": history,
        "memories": memories,
        "workspace": request.workspace,
        "entities": entities,
    }


def read(plan: Plan, given: Mapping[str, Json]) -> Mapping[str, Json]:
    """What a plan reads of what it is given, as whoever runs it later gives it."""
    return {name: given[name] for name in schemas.properties(plan.blueprint.inputs) if given.get(name)}


def conversation(body: Body, *, mode: str = "", message: str = "message") -> Conversation:
    """Read a conversation; `mode` overrides the body's and `message` names the field with the text."""
    return Conversation(
        message=text(body, message),
        mode=mode or str(body.get("mode") or ""),
        model=str(body.get("model") or ""),
        workspace=str(body.get("workspace") or ""),
        tools=_names(body.get("tools")),
        sources=_names(body.get("sources")),
        execute=body.get("execute") is not False,
        blueprint=body.get("blueprint"),
        recall=int(body["memory"].get("top_k", DEFAULT_RECALL)) if body.get("memory") is not None else 0,
        history=_turns(body.get("history")),
    )


def _turns(history: Json) -> tuple[Turn, ...] | None:
    return None if history is None else tuple(Turn(turn["role"], turn["text"]) for turn in history)


@dataclass(frozen=True, slots=True)
class Patch:
    """A page to be changed by one sentence."""

    instruction: str
    model: str
    """Of the planner; "" means its default."""
    page_id: str
    """"" when the request brings the page along."""
    version: int
    """That it means, 0 for the current one."""
    page: Json | None


def patch(body: Body) -> Patch:
    """Read a patch. Raises `RunFailed` when it names no page."""
    page_id, page = body.get("page_id"), body.get("page")
    if page is None and not isinstance(page_id, str):
        raise RunFailed(FailureCode.INTERNAL, "The request has neither page_id nor page; send it again with one of them.")
    instruction = text(body, "instruction")
    version = body.get("version")
    return Patch(
        instruction,
        str(body.get("model") or ""),
        "" if page is not None else str(page_id),
        version if isinstance(version, int) else 0,
        page,
    )


def text(body: Body, field: str) -> str:
    """A field that must be there and not blank. Raises `RunFailed`."""
    value = body.get(field)
    if not isinstance(value, str) or not value.strip():
        raise RunFailed(FailureCode.INTERNAL, f"The request has no {field}; send it again with one.")
    return value


def compiled(blueprint: Json, *, tools: Tools | None = None) -> Plan:
    """The plan of a blueprint. `tools` are the argument schemas by name, None means the built-in tools alone.

    Raises `RunFailed` with its faults.
    """
    try:
        return _plan(blueprint, tools)
    except InvalidBlueprint as error:
        raise refused("The blueprint cannot be run", error.faults) from error
    except TypeError as error:
        raise RunFailed(FailureCode.INVALID_BLUEPRINT, f"The blueprint is not JSON: {error}.") from error


def faults(blueprint: Json, given: Json | None, *, tools: Tools | None = None) -> Sequence[Fault]:
    """All that is wrong with a blueprint, or else with the inputs that are given for it; None gives none to check.

    Pointers begin with /blueprint and /inputs. The plan is kept for the run, which then need not make it.
    """
    try:
        plan = _plan(blueprint, tools)
    except InvalidBlueprint as error:
        return [Fault(f"/blueprint{fault.pointer}", fault.message, fault.hint) for fault in error.faults]
    return () if given is None else _input_faults(plan, with_defaults(plan, given))


def inputs(plan: Plan, given: Json) -> Mapping[str, Json]:
    """The inputs of a run with the schema's defaults, checked. Raises `RunFailed` with their faults."""
    value: Mapping[str, Json] = with_defaults(plan, given if given is not None else {})
    found = _input_faults(plan, value)
    if found:
        raise refused("The inputs do not fit the blueprint", found)
    return value


def _input_faults(plan: Plan, value: Json) -> list[Fault]:
    found = fit.faults(plan.blueprint.inputs, value)
    return [Fault(pointer(("inputs", *path)), message) for path, message in found]


def with_defaults(plan: Plan, given: Json) -> Json:
    """The given inputs, and the defaults of those that are not."""
    if not isinstance(given, Mapping):
        return given
    properties = plan.blueprint.inputs.get("properties", {})
    defaults = {name: one["default"] for name, one in properties.items() if isinstance(one, Mapping) and "default" in one}
    return {**defaults, **given}


def _names(value: Any) -> tuple[str, ...]:
    return tuple(str(one.get("name", "")) if isinstance(one, Mapping) else str(one) for one in value or ())


def _plan(blueprint: Json, tools: Tools | None) -> Plan:
    data = orjson.dumps(blueprint)
    schemas = builtin.SCHEMAS if tools is None else tools
    key = hashlib.sha256(data).digest() + _digest(schemas)
    plan = _plans.get(key)
    if plan is None:
        plan = compile_plan(validation.parse(validation.loads(data), tools=schemas))
        _plans.put(key, plan, len(data))
    return plan


class _Plans:
    """The plans that were used last, bounded in number and size. For any thread."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, tuple[Plan, int]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, key: bytes) -> Plan | None:
        with self._lock:
            found = self._known.get(key)
            if found is None:
                return None
            self._known.move_to_end(key)
            return found[0]

    def put(self, key: bytes, plan: Plan, size: int) -> None:
        with self._lock:
            if key in self._known:
                return
            self._known[key] = plan, size
            self._bytes += size
            while len(self._known) > CACHED or self._bytes > CACHED_BYTES:
                _, (_, gone) = self._known.popitem(last=False)
                self._bytes -= gone


_plans = _Plans()


def _digest(schemas: Tools) -> bytes:
    if schemas is builtin.SCHEMAS:
        return b""
    return hashlib.sha256(orjson.dumps(dict(schemas), default=dict, option=orjson.OPT_SORT_KEYS)).digest()


def refused(what: str, found: Sequence[Fault]) -> RunFailed:
    """The failure of a run whose request has these faults; its message lists them."""
    said = "; ".join(f"{fault.pointer or '/'}: {fault.message}{_hint(fault)}" for fault in found[:MAX_SAID])
    more = f"; and {len(found) - MAX_SAID} more" if len(found) > MAX_SAID else ""
    return RunFailed(FailureCode.INVALID_BLUEPRINT, f"{what}: {said}{more}.")


def _hint(fault: Fault) -> str:
    return f" ({fault.hint})" if fault.hint else ""
