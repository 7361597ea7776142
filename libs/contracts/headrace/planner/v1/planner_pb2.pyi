from headrace.llm.v1 import call_pb2 as _call_pb2
from headrace.llm.v1 import usage_pb2 as _usage_pb2
from headrace.router.v1 import router_pb2 as _router_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Origin(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORIGIN_UNSPECIFIED: _ClassVar[Origin]
    ORIGIN_BUILTIN: _ClassVar[Origin]
    ORIGIN_MODEL: _ClassVar[Origin]
    ORIGIN_REPAIRED: _ClassVar[Origin]
    ORIGIN_TEMPLATE: _ClassVar[Origin]
    ORIGIN_REUSED: _ClassVar[Origin]
ORIGIN_UNSPECIFIED: Origin
ORIGIN_BUILTIN: Origin
ORIGIN_MODEL: Origin
ORIGIN_REPAIRED: Origin
ORIGIN_TEMPLATE: Origin
ORIGIN_REUSED: Origin

class PlanRequest(_message.Message):
    __slots__ = ("tenant_id", "intent", "message", "workspace", "model", "tools", "sources", "history", "context", "tool_specs", "entities", "recalled")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    INTENT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    TOOL_SPECS_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    RECALLED_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    intent: _router_pb2.Intent
    message: str
    workspace: str
    model: str
    tools: _containers.RepeatedScalarFieldContainer[str]
    sources: _containers.RepeatedScalarFieldContainer[str]
    history: _containers.RepeatedCompositeFieldContainer[_router_pb2.Turn]
    context: _call_pb2.CallContext
    tool_specs: _containers.RepeatedCompositeFieldContainer[ToolSpec]
    entities: _containers.RepeatedCompositeFieldContainer[Entity]
    recalled: bool
    def __init__(self, tenant_id: _Optional[str] = ..., intent: _Optional[_Union[_router_pb2.Intent, str]] = ..., message: _Optional[str] = ..., workspace: _Optional[str] = ..., model: _Optional[str] = ..., tools: _Optional[_Iterable[str]] = ..., sources: _Optional[_Iterable[str]] = ..., history: _Optional[_Iterable[_Union[_router_pb2.Turn, _Mapping]]] = ..., context: _Optional[_Union[_call_pb2.CallContext, _Mapping]] = ..., tool_specs: _Optional[_Iterable[_Union[ToolSpec, _Mapping]]] = ..., entities: _Optional[_Iterable[_Union[Entity, _Mapping]]] = ..., recalled: _Optional[bool] = ...) -> None: ...

class ToolSpec(_message.Message):
    __slots__ = ("name", "description", "input_schema")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    INPUT_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    input_schema: bytes
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., input_schema: _Optional[bytes] = ...) -> None: ...

class Entity(_message.Message):
    __slots__ = ("kind", "id", "name", "text")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    kind: str
    id: bytes
    name: str
    text: str
    def __init__(self, kind: _Optional[str] = ..., id: _Optional[bytes] = ..., name: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class PlanResponse(_message.Message):
    __slots__ = ("blueprint", "origin", "warnings", "usage")
    BLUEPRINT_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    blueprint: bytes
    origin: Origin
    warnings: _containers.RepeatedScalarFieldContainer[str]
    usage: _usage_pb2.Usage
    def __init__(self, blueprint: _Optional[bytes] = ..., origin: _Optional[_Union[Origin, str]] = ..., warnings: _Optional[_Iterable[str]] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ...) -> None: ...

class PatchRequest(_message.Message):
    __slots__ = ("tenant_id", "blueprint", "inputs", "instruction", "slots", "model", "tool_specs", "context")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    BLUEPRINT_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TOOL_SPECS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    blueprint: bytes
    inputs: bytes
    instruction: str
    slots: _containers.RepeatedCompositeFieldContainer[PageSlot]
    model: str
    tool_specs: _containers.RepeatedCompositeFieldContainer[ToolSpec]
    context: _call_pb2.CallContext
    def __init__(self, tenant_id: _Optional[str] = ..., blueprint: _Optional[bytes] = ..., inputs: _Optional[bytes] = ..., instruction: _Optional[str] = ..., slots: _Optional[_Iterable[_Union[PageSlot, _Mapping]]] = ..., model: _Optional[str] = ..., tool_specs: _Optional[_Iterable[_Union[ToolSpec, _Mapping]]] = ..., context: _Optional[_Union[_call_pb2.CallContext, _Mapping]] = ...) -> None: ...

class PageSlot(_message.Message):
    __slots__ = ("slot", "title", "node", "preview")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    PREVIEW_FIELD_NUMBER: _ClassVar[int]
    slot: str
    title: str
    node: str
    preview: str
    def __init__(self, slot: _Optional[str] = ..., title: _Optional[str] = ..., node: _Optional[str] = ..., preview: _Optional[str] = ...) -> None: ...

class PatchResponse(_message.Message):
    __slots__ = ("blueprint", "inputs", "nodes", "rewritten", "origin", "warnings", "usage", "unclear")
    BLUEPRINT_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    REWRITTEN_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    UNCLEAR_FIELD_NUMBER: _ClassVar[int]
    blueprint: bytes
    inputs: bytes
    nodes: _containers.RepeatedScalarFieldContainer[str]
    rewritten: _containers.RepeatedScalarFieldContainer[str]
    origin: Origin
    warnings: _containers.RepeatedScalarFieldContainer[str]
    usage: _usage_pb2.Usage
    unclear: str
    def __init__(self, blueprint: _Optional[bytes] = ..., inputs: _Optional[bytes] = ..., nodes: _Optional[_Iterable[str]] = ..., rewritten: _Optional[_Iterable[str]] = ..., origin: _Optional[_Union[Origin, str]] = ..., warnings: _Optional[_Iterable[str]] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., unclear: _Optional[str] = ...) -> None: ...

class ValidateRequest(_message.Message):
    __slots__ = ("blueprint", "tool_specs")
    BLUEPRINT_FIELD_NUMBER: _ClassVar[int]
    TOOL_SPECS_FIELD_NUMBER: _ClassVar[int]
    blueprint: bytes
    tool_specs: _containers.RepeatedCompositeFieldContainer[ToolSpec]
    def __init__(self, blueprint: _Optional[bytes] = ..., tool_specs: _Optional[_Iterable[_Union[ToolSpec, _Mapping]]] = ...) -> None: ...

class ValidateResponse(_message.Message):
    __slots__ = ("faults",)
    FAULTS_FIELD_NUMBER: _ClassVar[int]
    faults: _containers.RepeatedCompositeFieldContainer[Fault]
    def __init__(self, faults: _Optional[_Iterable[_Union[Fault, _Mapping]]] = ...) -> None: ...

class Fault(_message.Message):
    __slots__ = ("pointer", "message", "hint")
    POINTER_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    pointer: str
    message: str
    hint: str
    def __init__(self, pointer: _Optional[str] = ..., message: _Optional[str] = ..., hint: _Optional[str] = ...) -> None: ...
