"""Protobuf to the planner's nouns and back. What is wrong with a request is said at once, with every field."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import jsonschema
import orjson
from headrace.planner.v1 import planner_pb2
from headrace.router.v1 import router_pb2
from headrace_blueprint import validation
from headrace_blueprint.faults import InvalidBlueprint
from headrace_blueprint.model import Blueprint
from headrace_blueprint.tools import TOOLS, Tool
from headrace_llm.call_context import CallContext
from headrace_runtime.errors import InvalidArgument, Violation

from headrace_planner import toolbox
from headrace_planner.errors import PatchUnclear
from headrace_planner.model import (
    MAX_ENTITIES,
    MAX_MESSAGE_CHARS,
    MAX_MODEL_TOOLS,
    MAX_NAME_CHARS,
    MAX_SOURCES,
    MAX_TOOL_SPECS,
    MAX_TOOLS,
    MAX_TURNS,
    RUNNABLE,
    Entity,
    Intent,
    Json,
    Origin,
    Plan,
    Request,
    Turn,
)
from headrace_planner.patching.model import MAX_PREVIEW_CHARS, Page, Patch, PatchRequest

CHECKED_SCHEMAS = 1024
"""Tools' schemas that are remembered as checked."""

_INTENTS: dict[int, Intent] = {
    router_pb2.INTENT_CHAT: Intent.CHAT,
    router_pb2.INTENT_QA: Intent.QA,
    router_pb2.INTENT_BUILD: Intent.BUILD,
    router_pb2.INTENT_QUIZ: Intent.QUIZ,
    router_pb2.INTENT_PATCH: Intent.PATCH,
}
_ORIGINS = {
    Origin.BUILTIN: planner_pb2.ORIGIN_BUILTIN,
    Origin.MODEL: planner_pb2.ORIGIN_MODEL,
    Origin.REPAIRED: planner_pb2.ORIGIN_REPAIRED,
    Origin.TEMPLATE: planner_pb2.ORIGIN_TEMPLATE,
    Origin.REUSED: planner_pb2.ORIGIN_REUSED,
}


def decode_plan(request: planner_pb2.PlanRequest) -> Request:
    """Check a request for a plan. Raises `InvalidArgument` with every violation."""
    tools, warnings = _tools(request.tool_specs)
    _refuse([*_text("message", request.message), *_plan_violations(request)])
    return Request(
        tenant_id=request.tenant_id,
        intent=_INTENTS[request.intent],
        message=request.message,
        workspace=request.workspace,
        model=request.model,
        tools=tuple(request.tools),
        tool_specs=tools,
        entities=_entities(request.entities),
        sources=tuple(request.sources),
        history=tuple(Turn(turn.role, turn.text) for turn in request.history),
        recalled=request.recalled,
        warnings=tuple(warnings),
        context=CallContext.from_proto(request.context),
    )


def encode_plan(plan: Plan) -> planner_pb2.PlanResponse:
    """A plan's wire form."""
    return planner_pb2.PlanResponse(
        blueprint=orjson.dumps(plan.blueprint),
        origin=_ORIGINS[plan.origin],
        warnings=plan.warnings,
        usage=plan.usage.to_proto(),
    )


def decode_validate(request: planner_pb2.ValidateRequest) -> tuple[bytes, Sequence[Tool]]:
    """A blueprint that is not read yet, and the tools that it may call. Raises `InvalidArgument` with every violation."""
    _refuse(list(_specs(request.tool_specs)))
    return request.blueprint, _tools(request.tool_specs)[0]


def decode_patch(request: planner_pb2.PatchRequest) -> PatchRequest:
    """Check a request for a change. Raises `InvalidArgument` with every violation.

    For a hostile blueprint this takes a tenth of a second of CPU.
    """
    tools, warnings = _tools(request.tool_specs)
    document, found = _blueprint(request.blueprint, tools)
    inputs, wrong = _inputs(request.inputs)
    _refuse(
        [
            *_text("instruction", request.instruction),
            *_long("model", request.model),
            *_specs(request.tool_specs),
            *found,
            *wrong,
        ]
    )
    page = Page(document, Blueprint.model_validate(document), inputs)
    _refuse(_slot_violations(request.slots, {slot.slot for slot in page.layout}))
    return PatchRequest(
        tenant_id=request.tenant_id,
        page=page,
        instruction=request.instruction,
        previews={slot.slot: slot.preview[:MAX_PREVIEW_CHARS] for slot in request.slots},
        model=request.model,
        tools=tools,
        warnings=warnings,
        context=CallContext.from_proto(request.context),
    )


def encode_patch(patch: Patch) -> planner_pb2.PatchResponse:
    """A change's wire form."""
    return planner_pb2.PatchResponse(
        blueprint=orjson.dumps(patch.patched.document),
        inputs=orjson.dumps(patch.patched.inputs),
        nodes=patch.patched.nodes,
        rewritten=patch.patched.rewritten,
        origin=_ORIGINS[patch.origin],
        warnings=patch.warnings,
        usage=patch.usage.to_proto(),
    )


def encode_unclear(error: PatchUnclear) -> planner_pb2.PatchResponse:
    """The wire form of a sentence that concerns no slot."""
    return planner_pb2.PatchResponse(unclear=str(error), usage=error.usage.to_proto())


def _refuse(violations: Sequence[Violation]) -> None:
    if violations:
        raise InvalidArgument("; ".join(f"{one.field}: {one.message}" for one in violations), violations=tuple(violations))


def _plan_violations(request: planner_pb2.PlanRequest) -> Iterator[Violation]:
    if request.intent not in _INTENTS:
        yield Violation("intent", "must be chat, qa, build, quiz or patch")
    if len(request.history) > MAX_TURNS:
        yield Violation("history", f"has {len(request.history)} turns, at most {MAX_TURNS} are taken")
    conversational = request.intent in _INTENTS and _INTENTS[request.intent].is_conversational
    most_tools = MAX_MODEL_TOOLS if conversational else MAX_TOOLS
    for field, names, most in (("tools", request.tools, most_tools), ("sources", request.sources, MAX_SOURCES)):
        if len(names) > most:
            yield Violation(field, f"has {len(names)} names, at most {most} are taken")
        for index, name in enumerate(names):
            yield from _long(f"{field}[{index}]", name)
    yield from _long("workspace", request.workspace)
    yield from _long("model", request.model)
    yield from _specs(request.tool_specs)
    yield from _entity_violations(request.entities)


def _text(field: str, text: str) -> Iterator[Violation]:
    if not text.strip():
        yield Violation(field, "must not be empty")
    if len(text) > MAX_MESSAGE_CHARS:
        yield Violation(field, f"has {len(text)} characters, at most {MAX_MESSAGE_CHARS} are taken")


def _long(field: str, name: str) -> Iterator[Violation]:
    if len(name) > MAX_NAME_CHARS:
        yield Violation(field, f"has {len(name)} characters, at most {MAX_NAME_CHARS} are taken")


def _specs(specs: Sequence[planner_pb2.ToolSpec]) -> Iterator[Violation]:
    if len(specs) > MAX_TOOL_SPECS:
        yield Violation("tool_specs", f"has {len(specs)} tools, at most {MAX_TOOL_SPECS} are taken")
    for index, spec in enumerate(specs):
        if not spec.name:
            yield Violation(f"tool_specs[{index}].name", "must not be empty")
        yield from _long(f"tool_specs[{index}].name", spec.name)


def _tools(specs: Sequence[planner_pb2.ToolSpec]) -> tuple[tuple[Tool, ...], tuple[str, ...]]:
    """The tools that can be used, and a warning for each that cannot: a plan is made without it."""
    found: dict[str, Tool] = {}
    warnings: list[str] = []
    for spec in specs[:MAX_TOOL_SPECS]:
        schema = _schema(spec.input_schema)
        if schema is None:
            warnings.append(f"the arguments of the tool {spec.name[:64]!r} have no valid JSON Schema; it was left out")
        elif spec.name not in TOOLS:
            found[spec.name] = Tool(spec.name, spec.description, schema)
    return tuple(found.values()), tuple(warnings)


@lru_cache(maxsize=CHECKED_SCHEMAS)
def _schema(data: bytes) -> Mapping[str, Any] | None:
    """A tool's schema, which nobody changes; None for what is none or refers to something outside itself."""
    try:
        schema = orjson.loads(data or b"{}")
        jsonschema.Draft202012Validator.check_schema(schema)
    except (orjson.JSONDecodeError, jsonschema.SchemaError, RecursionError):
        return None
    return schema if isinstance(schema, dict) and b'"$ref"' not in data and b'"$dynamicRef"' not in data else None


def _entities(entities: Sequence[planner_pb2.Entity]) -> tuple[Entity, ...]:
    """The records, each with its place among those of its kind."""
    places: Counter[str] = Counter()
    found = []
    for one in entities:
        found.append(Entity(one.kind, _id_type(one.id) or "string", one.text, places[one.kind]))
        places[one.kind] += 1
    return tuple(found)


def _id_type(data: bytes) -> Any:
    """The JSON type of an entity's id; None for another than a string or a number."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    match value:
        case bool():
            return None
        case str():
            return "string"
        case int():
            return "integer"
        case float():
            return "number"
        case _:
            return None


def _entity_violations(entities: Sequence[planner_pb2.Entity]) -> Iterator[Violation]:
    if len(entities) > MAX_ENTITIES:
        yield Violation("entities", f"has {len(entities)} records, at most {MAX_ENTITIES} are taken")
    for index, one in enumerate(entities):
        if not (one.kind.isascii() and one.kind.isidentifier()) or len(one.kind) > 64:
            yield Violation(f"entities[{index}].kind", "must be a letter or _, then letters, digits or _, 64 at most")
        if _id_type(one.id) is None:
            yield Violation(f"entities[{index}].id", "must be a JSON string or number")


def _blueprint(data: bytes, tools: Sequence[Tool]) -> tuple[Mapping[str, Json], list[Violation]]:
    try:
        document = validation.loads(data)
        known = toolbox.schemas((*tools, *toolbox.BUILTIN))
        validation.parse(document, tools=known, kinds=RUNNABLE)
    except InvalidBlueprint as error:
        return {}, [Violation(f"blueprint{fault.pointer}", fault.message) for fault in error.faults]
    return document, [] if document.get("layout") else [Violation("blueprint/layout", "has no slot to change")]


def _inputs(data: bytes) -> tuple[Mapping[str, Json], list[Violation]]:
    try:
        value = validation.loads(data or b"{}")
    except InvalidBlueprint as error:
        return {}, [Violation(f"inputs{fault.pointer}", fault.message) for fault in error.faults]
    return (value, []) if isinstance(value, dict) else ({}, [Violation("inputs", "must be a JSON object")])


def _slot_violations(slots: Sequence[planner_pb2.PageSlot], known: set[str]) -> list[Violation]:
    return [
        Violation(f"slots[{index}].slot", f"the blueprint's layout has no {slot.slot[:64]!r}")
        for index, slot in enumerate(slots)
        if slot.slot not in known
    ]
