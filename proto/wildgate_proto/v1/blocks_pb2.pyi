from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Block(_message.Message):
    __slots__ = ("id", "digests", "fingerprint", "descriptors", "kept_frames", "source", "reason", "label", "added_by", "added_ms", "expires_ms", "disabled")
    ID_FIELD_NUMBER: _ClassVar[int]
    DIGESTS_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTORS_FIELD_NUMBER: _ClassVar[int]
    KEPT_FRAMES_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    ADDED_BY_FIELD_NUMBER: _ClassVar[int]
    ADDED_MS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_MS_FIELD_NUMBER: _ClassVar[int]
    DISABLED_FIELD_NUMBER: _ClassVar[int]
    id: str
    digests: _containers.RepeatedScalarFieldContainer[str]
    fingerprint: Fingerprint
    descriptors: bytes
    kept_frames: _containers.RepeatedCompositeFieldContainer[KeptFrame]
    source: str
    reason: str
    label: str
    added_by: str
    added_ms: int
    expires_ms: int
    disabled: bool
    def __init__(self, id: _Optional[str] = ..., digests: _Optional[_Iterable[str]] = ..., fingerprint: _Optional[_Union[Fingerprint, _Mapping]] = ..., descriptors: _Optional[bytes] = ..., kept_frames: _Optional[_Iterable[_Union[KeptFrame, _Mapping]]] = ..., source: _Optional[str] = ..., reason: _Optional[str] = ..., label: _Optional[str] = ..., added_by: _Optional[str] = ..., added_ms: _Optional[int] = ..., expires_ms: _Optional[int] = ..., disabled: _Optional[bool] = ...) -> None: ...

class Fingerprint(_message.Message):
    __slots__ = ("frames", "duration_s")
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    frames: _containers.RepeatedCompositeFieldContainer[FrameFingerprint]
    duration_s: float
    def __init__(self, frames: _Optional[_Iterable[_Union[FrameFingerprint, _Mapping]]] = ..., duration_s: _Optional[float] = ...) -> None: ...

class FrameFingerprint(_message.Message):
    __slots__ = ("track", "time_s", "quality", "hashes")
    TRACK_FIELD_NUMBER: _ClassVar[int]
    TIME_S_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    HASHES_FIELD_NUMBER: _ClassVar[int]
    track: int
    time_s: float
    quality: int
    hashes: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, track: _Optional[int] = ..., time_s: _Optional[float] = ..., quality: _Optional[int] = ..., hashes: _Optional[_Iterable[bytes]] = ...) -> None: ...

class KeptFrame(_message.Message):
    __slots__ = ("time_s", "jpeg")
    TIME_S_FIELD_NUMBER: _ClassVar[int]
    JPEG_FIELD_NUMBER: _ClassVar[int]
    time_s: float
    jpeg: bytes
    def __init__(self, time_s: _Optional[float] = ..., jpeg: _Optional[bytes] = ...) -> None: ...

class BlockRecord(_message.Message):
    __slots__ = ("position", "put", "removed")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    PUT_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    position: int
    put: Block
    removed: Removal
    def __init__(self, position: _Optional[int] = ..., put: _Optional[_Union[Block, _Mapping]] = ..., removed: _Optional[_Union[Removal, _Mapping]] = ...) -> None: ...

class Removal(_message.Message):
    __slots__ = ("id", "removed_by", "removed_ms")
    ID_FIELD_NUMBER: _ClassVar[int]
    REMOVED_BY_FIELD_NUMBER: _ClassVar[int]
    REMOVED_MS_FIELD_NUMBER: _ClassVar[int]
    id: str
    removed_by: str
    removed_ms: int
    def __init__(self, id: _Optional[str] = ..., removed_by: _Optional[str] = ..., removed_ms: _Optional[int] = ...) -> None: ...

class AddBlocksRequest(_message.Message):
    __slots__ = ("blocks",)
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    blocks: _containers.RepeatedCompositeFieldContainer[Block]
    def __init__(self, blocks: _Optional[_Iterable[_Union[Block, _Mapping]]] = ...) -> None: ...

class AddBlocksResponse(_message.Message):
    __slots__ = ("ids", "position", "frames")
    IDS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    position: int
    frames: int
    def __init__(self, ids: _Optional[_Iterable[str]] = ..., position: _Optional[int] = ..., frames: _Optional[int] = ...) -> None: ...

class AddVideoRequest(_message.Message):
    __slots__ = ("content", "block")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    content: bytes
    block: Block
    def __init__(self, content: _Optional[bytes] = ..., block: _Optional[_Union[Block, _Mapping]] = ...) -> None: ...

class UpdateBlockRequest(_message.Message):
    __slots__ = ("id", "enabled", "expires_ms")
    ID_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_MS_FIELD_NUMBER: _ClassVar[int]
    id: str
    enabled: bool
    expires_ms: int
    def __init__(self, id: _Optional[str] = ..., enabled: _Optional[bool] = ..., expires_ms: _Optional[int] = ...) -> None: ...

class RemoveBlocksRequest(_message.Message):
    __slots__ = ("ids", "removed_by")
    IDS_FIELD_NUMBER: _ClassVar[int]
    REMOVED_BY_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    removed_by: str
    def __init__(self, ids: _Optional[_Iterable[str]] = ..., removed_by: _Optional[str] = ...) -> None: ...

class RemoveBlocksResponse(_message.Message):
    __slots__ = ("ids", "position")
    IDS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    position: int
    def __init__(self, ids: _Optional[_Iterable[str]] = ..., position: _Optional[int] = ...) -> None: ...

class GetBlockRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class ListBlocksRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListBlocksResponse(_message.Message):
    __slots__ = ("blocks", "next_page_token", "total")
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    blocks: _containers.RepeatedCompositeFieldContainer[Block]
    next_page_token: str
    total: int
    def __init__(self, blocks: _Optional[_Iterable[_Union[Block, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total: _Optional[int] = ...) -> None: ...

class FollowRequest(_message.Message):
    __slots__ = ("list_id", "after")
    LIST_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    list_id: str
    after: int
    def __init__(self, list_id: _Optional[str] = ..., after: _Optional[int] = ...) -> None: ...

class FollowResponse(_message.Message):
    __slots__ = ("list_id", "reset", "records", "position")
    LIST_ID_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    list_id: str
    reset: bool
    records: _containers.RepeatedCompositeFieldContainer[BlockRecord]
    position: int
    def __init__(self, list_id: _Optional[str] = ..., reset: _Optional[bool] = ..., records: _Optional[_Iterable[_Union[BlockRecord, _Mapping]]] = ..., position: _Optional[int] = ...) -> None: ...

class ExportBlocksRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
