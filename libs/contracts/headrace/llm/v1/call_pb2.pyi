import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CallPriority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CALL_PRIORITY_UNSPECIFIED: _ClassVar[CallPriority]
    CALL_PRIORITY_INTERACTIVE: _ClassVar[CallPriority]
    CALL_PRIORITY_STANDARD: _ClassVar[CallPriority]
    CALL_PRIORITY_BACKGROUND: _ClassVar[CallPriority]
CALL_PRIORITY_UNSPECIFIED: CallPriority
CALL_PRIORITY_INTERACTIVE: CallPriority
CALL_PRIORITY_STANDARD: CallPriority
CALL_PRIORITY_BACKGROUND: CallPriority

class CallContext(_message.Message):
    __slots__ = ("run_id", "priority", "started")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    priority: CallPriority
    started: _timestamp_pb2.Timestamp
    def __init__(self, run_id: _Optional[str] = ..., priority: _Optional[_Union[CallPriority, str]] = ..., started: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
