import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from headrace.llm.v1 import usage_pb2 as _usage_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Page(_message.Message):
    __slots__ = ("page_id", "version", "current", "parent_version", "instruction", "title", "run_id", "session_id", "create_time", "usage", "blueprint", "inputs", "slots", "sources")
    PAGE_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    PARENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    BLUEPRINT_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    page_id: str
    version: int
    current: bool
    parent_version: int
    instruction: str
    title: str
    run_id: str
    session_id: str
    create_time: _timestamp_pb2.Timestamp
    usage: _usage_pb2.Usage
    blueprint: bytes
    inputs: bytes
    slots: bytes
    sources: bytes
    def __init__(self, page_id: _Optional[str] = ..., version: _Optional[int] = ..., current: _Optional[bool] = ..., parent_version: _Optional[int] = ..., instruction: _Optional[str] = ..., title: _Optional[str] = ..., run_id: _Optional[str] = ..., session_id: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., blueprint: _Optional[bytes] = ..., inputs: _Optional[bytes] = ..., slots: _Optional[bytes] = ..., sources: _Optional[bytes] = ...) -> None: ...

class GetPageRequest(_message.Message):
    __slots__ = ("tenant_id", "page_id", "version")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    page_id: str
    version: int
    def __init__(self, tenant_id: _Optional[str] = ..., page_id: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class GetPageResponse(_message.Message):
    __slots__ = ("page",)
    PAGE_FIELD_NUMBER: _ClassVar[int]
    page: Page
    def __init__(self, page: _Optional[_Union[Page, _Mapping]] = ...) -> None: ...

class GetPageOutputRequest(_message.Message):
    __slots__ = ("tenant_id", "page_id", "version", "step")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    page_id: str
    version: int
    step: str
    def __init__(self, tenant_id: _Optional[str] = ..., page_id: _Optional[str] = ..., version: _Optional[int] = ..., step: _Optional[str] = ...) -> None: ...

class GetPageOutputResponse(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class ListPagesRequest(_message.Message):
    __slots__ = ("tenant_id", "session_id", "page_size", "page_token")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    session_id: str
    page_size: int
    page_token: str
    def __init__(self, tenant_id: _Optional[str] = ..., session_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPagesResponse(_message.Message):
    __slots__ = ("pages", "next_page_token")
    PAGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    pages: _containers.RepeatedCompositeFieldContainer[Page]
    next_page_token: str
    def __init__(self, pages: _Optional[_Iterable[_Union[Page, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListPageVersionsRequest(_message.Message):
    __slots__ = ("tenant_id", "page_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    page_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., page_id: _Optional[str] = ...) -> None: ...

class ListPageVersionsResponse(_message.Message):
    __slots__ = ("versions",)
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[Page]
    def __init__(self, versions: _Optional[_Iterable[_Union[Page, _Mapping]]] = ...) -> None: ...

class RestorePageRequest(_message.Message):
    __slots__ = ("tenant_id", "page_id", "version", "expected_version")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    page_id: str
    version: int
    expected_version: int
    def __init__(self, tenant_id: _Optional[str] = ..., page_id: _Optional[str] = ..., version: _Optional[int] = ..., expected_version: _Optional[int] = ...) -> None: ...

class RestorePageResponse(_message.Message):
    __slots__ = ("page",)
    PAGE_FIELD_NUMBER: _ClassVar[int]
    page: Page
    def __init__(self, page: _Optional[_Union[Page, _Mapping]] = ...) -> None: ...

class DeletePageRequest(_message.Message):
    __slots__ = ("tenant_id", "page_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    page_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., page_id: _Optional[str] = ...) -> None: ...

class DeletePageResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
