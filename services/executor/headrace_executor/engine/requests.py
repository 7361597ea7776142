"""What a run's body says, by kind. The edge has checked shapes; what is missing here is a run that cannot succeed. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jsonschema
import orjson
from headrace_blueprint import plan, tools, validation
from headrace_blueprint.faults import Fault, InvalidBlueprint, pointer
from headrace_blueprint.plan import Plan

from headrace_executor.engine.nodes.runner import RUNNABLE
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode, Json
from headrace_executor.ports import Turn

Body = Mapping[str, Json]

MAX_CACHED_BYTES = 16 * 1024
"""Blueprints up to this size are kept compiled: the built-in ones come again with every run."""
CACHED = 64
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
    history: tuple[Turn, ...] = ()
    """Earlier messages as the caller has them; without any, the session's hold."""


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
        history=tuple(Turn(turn["role"], turn["text"]) for turn in body.get("history") or ()),
    )


def text(body: Body, field: str) -> str:
    """A field that must be there and not blank. Raises `RunFailed`."""
    value = body.get(field)
    if not isinstance(value, str) or not value.strip():
        raise RunFailed(FailureCode.INTERNAL, f"The request has no {field}; send it again with one.")
    return value


def compiled(blueprint: Json) -> Plan:
    """The plan of a blueprint that this engine can run. Raises `RunFailed` with its faults."""
    try:
        return _plan(blueprint)
    except InvalidBlueprint as error:
        raise _refused("The blueprint cannot be run", error.faults) from error
    except TypeError as error:
        raise RunFailed(FailureCode.INVALID_BLUEPRINT, f"The blueprint is not JSON: {error}.") from error


def faults(blueprint: Json, given: Json | None) -> Sequence[Fault]:
    """All that is wrong with a blueprint, or else with the inputs that are given for it; None gives none to check.

    Pointers begin with /blueprint and /inputs. The plan is kept for the run, which then need not make it.
    """
    try:
        plan = _plan(blueprint)
    except InvalidBlueprint as error:
        return [Fault(f"/blueprint{fault.pointer}", fault.message, fault.hint) for fault in error.faults]
    return () if given is None else _input_faults(plan, with_defaults(plan, given))


def inputs(plan: Plan, given: Json) -> Mapping[str, Json]:
    """The inputs of a run with the schema's defaults, checked. Raises `RunFailed` with their faults."""
    value: Mapping[str, Json] = with_defaults(plan, given if given is not None else {})
    found = _input_faults(plan, value)
    if found:
        raise _refused("The inputs do not fit the blueprint", found)
    return value


def _input_faults(plan: Plan, value: Json) -> list[Fault]:
    validator = jsonschema.Draft202012Validator({"type": "object", **plan.blueprint.inputs})
    return [Fault(pointer(("inputs", *fault.absolute_path)), fault.message[:200]) for fault in validator.iter_errors(value)]


def with_defaults(plan: Plan, given: Json) -> Json:
    """The given inputs, and the defaults of those that are not."""
    if not isinstance(given, Mapping):
        return given
    properties = plan.blueprint.inputs.get("properties", {})
    defaults = {name: one["default"] for name, one in properties.items() if isinstance(one, Mapping) and "default" in one}
    return {**defaults, **given}


def _names(value: Any) -> tuple[str, ...]:
    return tuple(str(one.get("name", "")) if isinstance(one, Mapping) else str(one) for one in value or ())


def _plan(blueprint: Json) -> Plan:
    data = orjson.dumps(blueprint)
    return _cached(data) if len(data) <= MAX_CACHED_BYTES else _compiled(data)


def _compiled(data: bytes) -> Plan:
    document = validation.loads(data)
    return plan.compile_plan(validation.parse(document, tools=tools.SCHEMAS, kinds=RUNNABLE))


_cached = lru_cache(maxsize=CACHED)(_compiled)


def _refused(what: str, found: list[Fault] | tuple[Fault, ...]) -> RunFailed:
    said = "; ".join(f"{fault.pointer or '/'}: {fault.message}" for fault in found[:MAX_SAID])
    more = f"; and {len(found) - MAX_SAID} more" if len(found) > MAX_SAID else ""
    return RunFailed(FailureCode.INVALID_BLUEPRINT, f"{what}: {said}{more}.")
