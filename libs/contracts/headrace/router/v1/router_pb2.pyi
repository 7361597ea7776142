from headrace.llm.v1 import call_pb2 as _call_pb2
from headrace.llm.v1 import usage_pb2 as _usage_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Intent(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INTENT_UNSPECIFIED: _ClassVar[Intent]
    INTENT_CHAT: _ClassVar[Intent]
    INTENT_QA: _ClassVar[Intent]
    INTENT_BUILD: _ClassVar[Intent]
    INTENT_QUIZ: _ClassVar[Intent]
    INTENT_PATCH: _ClassVar[Intent]

class DecidedBy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECIDED_BY_UNSPECIFIED: _ClassVar[DecidedBy]
    DECIDED_BY_RULES: _ClassVar[DecidedBy]
    DECIDED_BY_EMBEDDING: _ClassVar[DecidedBy]
    DECIDED_BY_MODEL: _ClassVar[DecidedBy]
INTENT_UNSPECIFIED: Intent
INTENT_CHAT: Intent
INTENT_QA: Intent
INTENT_BUILD: Intent
INTENT_QUIZ: Intent
INTENT_PATCH: Intent
DECIDED_BY_UNSPECIFIED: DecidedBy
DECIDED_BY_RULES: DecidedBy
DECIDED_BY_EMBEDDING: DecidedBy
DECIDED_BY_MODEL: DecidedBy

class RouteRequest(_message.Message):
    __slots__ = ("tenant_id", "message", "mode", "has_blueprint", "has_page", "history", "context")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    HAS_BLUEPRINT_FIELD_NUMBER: _ClassVar[int]
    HAS_PAGE_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    message: str
    mode: Intent
    has_blueprint: bool
    has_page: bool
    history: _containers.RepeatedCompositeFieldContainer[Turn]
    context: _call_pb2.CallContext
    def __init__(self, tenant_id: _Optional[str] = ..., message: _Optional[str] = ..., mode: _Optional[_Union[Intent, str]] = ..., has_blueprint: _Optional[bool] = ..., has_page: _Optional[bool] = ..., history: _Optional[_Iterable[_Union[Turn, _Mapping]]] = ..., context: _Optional[_Union[_call_pb2.CallContext, _Mapping]] = ...) -> None: ...

class Turn(_message.Message):
    __slots__ = ("role", "text")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    role: str
    text: str
    def __init__(self, role: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class RouteResponse(_message.Message):
    __slots__ = ("intent", "confidence", "decided_by", "usage")
    INTENT_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    intent: Intent
    confidence: float
    decided_by: DecidedBy
    usage: _usage_pb2.Usage
    def __init__(self, intent: _Optional[_Union[Intent, str]] = ..., confidence: _Optional[float] = ..., decided_by: _Optional[_Union[DecidedBy, str]] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ...) -> None: ...
