from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SearchAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEARCH_ACTION_UNSPECIFIED: _ClassVar[SearchAction]
    SEARCH_ACTION_NONE: _ClassVar[SearchAction]
    SEARCH_ACTION_INFORM: _ClassVar[SearchAction]
    SEARCH_ACTION_RESTRICT: _ClassVar[SearchAction]
SEARCH_ACTION_UNSPECIFIED: SearchAction
SEARCH_ACTION_NONE: SearchAction
SEARCH_ACTION_INFORM: SearchAction
SEARCH_ACTION_RESTRICT: SearchAction

class ScreenRequest(_message.Message):
    __slots__ = ("query", "locale", "explain")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    LOCALE_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    query: str
    locale: str
    explain: bool
    def __init__(self, query: _Optional[str] = ..., locale: _Optional[str] = ..., explain: _Optional[bool] = ...) -> None: ...

class ScreenResponse(_message.Message):
    __slots__ = ("action", "lexicon_version", "rule", "reason", "message_id", "message", "matches", "demote", "notes")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    LEXICON_VERSION_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    DEMOTE_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    action: SearchAction
    lexicon_version: str
    rule: str
    reason: str
    message_id: str
    message: str
    matches: _containers.RepeatedCompositeFieldContainer[TermMatch]
    demote: _containers.RepeatedScalarFieldContainer[str]
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, action: _Optional[_Union[SearchAction, str]] = ..., lexicon_version: _Optional[str] = ..., rule: _Optional[str] = ..., reason: _Optional[str] = ..., message_id: _Optional[str] = ..., message: _Optional[str] = ..., matches: _Optional[_Iterable[_Union[TermMatch, _Mapping]]] = ..., demote: _Optional[_Iterable[str]] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class TermMatch(_message.Message):
    __slots__ = ("term", "language", "source", "start", "end", "sounds", "excused_by")
    TERM_FIELD_NUMBER: _ClassVar[int]
    CLASS_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    SOUNDS_FIELD_NUMBER: _ClassVar[int]
    EXCUSED_BY_FIELD_NUMBER: _ClassVar[int]
    term: str
    language: str
    source: str
    start: int
    end: int
    sounds: bool
    excused_by: str
    def __init__(self, term: _Optional[str] = ..., language: _Optional[str] = ..., source: _Optional[str] = ..., start: _Optional[int] = ..., end: _Optional[int] = ..., sounds: _Optional[bool] = ..., excused_by: _Optional[str] = ..., **kwargs) -> None: ...

class ScreenBatchRequest(_message.Message):
    __slots__ = ("queries", "locale")
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    LOCALE_FIELD_NUMBER: _ClassVar[int]
    queries: _containers.RepeatedScalarFieldContainer[str]
    locale: str
    def __init__(self, queries: _Optional[_Iterable[str]] = ..., locale: _Optional[str] = ...) -> None: ...

class ScreenBatchResponse(_message.Message):
    __slots__ = ("results", "lexicon_version")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    LEXICON_VERSION_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[ScreenBatchResult]
    lexicon_version: str
    def __init__(self, results: _Optional[_Iterable[_Union[ScreenBatchResult, _Mapping]]] = ..., lexicon_version: _Optional[str] = ...) -> None: ...

class ScreenBatchResult(_message.Message):
    __slots__ = ("index", "answer", "error")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    index: int
    answer: ScreenResponse
    error: _status_pb2.Status
    def __init__(self, index: _Optional[int] = ..., answer: _Optional[_Union[ScreenResponse, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...
