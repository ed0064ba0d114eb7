from google.rpc import status_pb2 as _status_pb2
from wildgate_proto.v1 import scoring_pb2 as _scoring_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CaseState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CASE_STATE_UNSPECIFIED: _ClassVar[CaseState]
    CASE_STATE_OPEN: _ClassVar[CaseState]
    CASE_STATE_SECOND: _ClassVar[CaseState]
    CASE_STATE_ESCALATED: _ClassVar[CaseState]
    CASE_STATE_CONFIRMED: _ClassVar[CaseState]
    CASE_STATE_HARMLESS: _ClassVar[CaseState]
    CASE_STATE_APPEALED: _ClassVar[CaseState]

class ReportSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REPORT_SOURCE_UNSPECIFIED: _ClassVar[ReportSource]
    REPORT_SOURCE_USER: _ClassVar[ReportSource]
    REPORT_SOURCE_TRUSTED_FLAGGER: _ClassVar[ReportSource]
    REPORT_SOURCE_NGO_PARTNER: _ClassVar[ReportSource]
    REPORT_SOURCE_OFFICER: _ClassVar[ReportSource]
    REPORT_SOURCE_SEARCH: _ClassVar[ReportSource]
    REPORT_SOURCE_AUTOMATIC: _ClassVar[ReportSource]
CASE_STATE_UNSPECIFIED: CaseState
CASE_STATE_OPEN: CaseState
CASE_STATE_SECOND: CaseState
CASE_STATE_ESCALATED: CaseState
CASE_STATE_CONFIRMED: CaseState
CASE_STATE_HARMLESS: CaseState
CASE_STATE_APPEALED: CaseState
REPORT_SOURCE_UNSPECIFIED: ReportSource
REPORT_SOURCE_USER: ReportSource
REPORT_SOURCE_TRUSTED_FLAGGER: ReportSource
REPORT_SOURCE_NGO_PARTNER: ReportSource
REPORT_SOURCE_OFFICER: ReportSource
REPORT_SOURCE_SEARCH: ReportSource
REPORT_SOURCE_AUTOMATIC: ReportSource

class Subject(_message.Message):
    __slots__ = ("video_id", "uri", "account", "listing", "language", "views", "disseminating")
    VIDEO_ID_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    LISTING_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    VIEWS_FIELD_NUMBER: _ClassVar[int]
    DISSEMINATING_FIELD_NUMBER: _ClassVar[int]
    video_id: str
    uri: str
    account: str
    listing: str
    language: str
    views: int
    disseminating: bool
    def __init__(self, video_id: _Optional[str] = ..., uri: _Optional[str] = ..., account: _Optional[str] = ..., listing: _Optional[str] = ..., language: _Optional[str] = ..., views: _Optional[int] = ..., disseminating: _Optional[bool] = ...) -> None: ...

class OpenCaseRequest(_message.Message):
    __slots__ = ("subject", "verdict", "sample")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    subject: Subject
    verdict: _scoring_pb2.Verdict
    sample: bool
    def __init__(self, subject: _Optional[_Union[Subject, _Mapping]] = ..., verdict: _Optional[_Union[_scoring_pb2.Verdict, _Mapping]] = ..., sample: _Optional[bool] = ...) -> None: ...

class OpenCaseResponse(_message.Message):
    __slots__ = ("case_id", "state", "opened")
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OPENED_FIELD_NUMBER: _ClassVar[int]
    case_id: str
    state: CaseState
    opened: bool
    def __init__(self, case_id: _Optional[str] = ..., state: _Optional[_Union[CaseState, str]] = ..., opened: _Optional[bool] = ...) -> None: ...

class Case(_message.Message):
    __slots__ = ("id", "state", "content_digest", "subjects", "verdict", "evidence_frames", "sample", "opened_ms", "rank", "skills", "assignee", "leased_until_ms", "snoozed_until_ms", "reports", "decisions", "referrals", "block_id", "second_reason")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SUBJECTS_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FRAMES_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    OPENED_MS_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    SKILLS_FIELD_NUMBER: _ClassVar[int]
    ASSIGNEE_FIELD_NUMBER: _ClassVar[int]
    LEASED_UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    SNOOZED_UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    REFERRALS_FIELD_NUMBER: _ClassVar[int]
    BLOCK_ID_FIELD_NUMBER: _ClassVar[int]
    SECOND_REASON_FIELD_NUMBER: _ClassVar[int]
    id: str
    state: CaseState
    content_digest: str
    subjects: _containers.RepeatedCompositeFieldContainer[Subject]
    verdict: _scoring_pb2.Verdict
    evidence_frames: int
    sample: bool
    opened_ms: int
    rank: float
    skills: _containers.RepeatedScalarFieldContainer[str]
    assignee: str
    leased_until_ms: int
    snoozed_until_ms: int
    reports: _containers.RepeatedCompositeFieldContainer[Report]
    decisions: _containers.RepeatedCompositeFieldContainer[Decision]
    referrals: _containers.RepeatedCompositeFieldContainer[Referral]
    block_id: str
    second_reason: str
    def __init__(self, id: _Optional[str] = ..., state: _Optional[_Union[CaseState, str]] = ..., content_digest: _Optional[str] = ..., subjects: _Optional[_Iterable[_Union[Subject, _Mapping]]] = ..., verdict: _Optional[_Union[_scoring_pb2.Verdict, _Mapping]] = ..., evidence_frames: _Optional[int] = ..., sample: _Optional[bool] = ..., opened_ms: _Optional[int] = ..., rank: _Optional[float] = ..., skills: _Optional[_Iterable[str]] = ..., assignee: _Optional[str] = ..., leased_until_ms: _Optional[int] = ..., snoozed_until_ms: _Optional[int] = ..., reports: _Optional[_Iterable[_Union[Report, _Mapping]]] = ..., decisions: _Optional[_Iterable[_Union[Decision, _Mapping]]] = ..., referrals: _Optional[_Iterable[_Union[Referral, _Mapping]]] = ..., block_id: _Optional[str] = ..., second_reason: _Optional[str] = ...) -> None: ...

class GetCaseRequest(_message.Message):
    __slots__ = ("case_id",)
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    case_id: str
    def __init__(self, case_id: _Optional[str] = ...) -> None: ...

class ListCasesRequest(_message.Message):
    __slots__ = ("states", "page_size", "page_token")
    STATES_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    states: _containers.RepeatedScalarFieldContainer[CaseState]
    page_size: int
    page_token: str
    def __init__(self, states: _Optional[_Iterable[_Union[CaseState, str]]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCasesResponse(_message.Message):
    __slots__ = ("cases", "next_page_token")
    CASES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    cases: _containers.RepeatedCompositeFieldContainer[Case]
    next_page_token: str
    def __init__(self, cases: _Optional[_Iterable[_Union[Case, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetEvidenceRequest(_message.Message):
    __slots__ = ("case_id", "index")
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    case_id: str
    index: int
    def __init__(self, case_id: _Optional[str] = ..., index: _Optional[int] = ...) -> None: ...

class ClaimRequest(_message.Message):
    __slots__ = ("case_id", "skills", "lease_s")
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    SKILLS_FIELD_NUMBER: _ClassVar[int]
    LEASE_S_FIELD_NUMBER: _ClassVar[int]
    case_id: str
    skills: _containers.RepeatedScalarFieldContainer[str]
    lease_s: int
    def __init__(self, case_id: _Optional[str] = ..., skills: _Optional[_Iterable[str]] = ..., lease_s: _Optional[int] = ...) -> None: ...

class ClaimResponse(_message.Message):
    __slots__ = ("case", "fencing_token")
    CASE_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    case: Case
    fencing_token: int
    def __init__(self, case: _Optional[_Union[Case, _Mapping]] = ..., fencing_token: _Optional[int] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("case_id", "fencing_token")
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    case_id: str
    fencing_token: int
    def __init__(self, case_id: _Optional[str] = ..., fencing_token: _Optional[int] = ...) -> None: ...

class ReassignRequest(_message.Message):
    __slots__ = ("case_id", "assignee", "comment")
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    ASSIGNEE_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    case_id: str
    assignee: str
    comment: str
    def __init__(self, case_id: _Optional[str] = ..., assignee: _Optional[str] = ..., comment: _Optional[str] = ...) -> None: ...

class SnoozeRequest(_message.Message):
    __slots__ = ("case_id", "fencing_token", "until_ms", "comment")
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    case_id: str
    fencing_token: int
    until_ms: int
    comment: str
    def __init__(self, case_id: _Optional[str] = ..., fencing_token: _Optional[int] = ..., until_ms: _Optional[int] = ..., comment: _Optional[str] = ...) -> None: ...

class ClaimedCase(_message.Message):
    __slots__ = ("case_id", "fencing_token")
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    case_id: str
    fencing_token: int
    def __init__(self, case_id: _Optional[str] = ..., fencing_token: _Optional[int] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("kind", "label", "taxon", "reason", "comment", "decided_by", "decided_ms", "withdrawn")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Decision.Kind]
        KIND_CONFIRM: _ClassVar[Decision.Kind]
        KIND_HARMLESS: _ClassVar[Decision.Kind]
        KIND_NOT_SURE: _ClassVar[Decision.Kind]
        KIND_ESCALATE: _ClassVar[Decision.Kind]
    KIND_UNSPECIFIED: Decision.Kind
    KIND_CONFIRM: Decision.Kind
    KIND_HARMLESS: Decision.Kind
    KIND_NOT_SURE: Decision.Kind
    KIND_ESCALATE: Decision.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    TAXON_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    DECIDED_MS_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWN_FIELD_NUMBER: _ClassVar[int]
    kind: Decision.Kind
    label: str
    taxon: str
    reason: str
    comment: str
    decided_by: str
    decided_ms: int
    withdrawn: bool
    def __init__(self, kind: _Optional[_Union[Decision.Kind, str]] = ..., label: _Optional[str] = ..., taxon: _Optional[str] = ..., reason: _Optional[str] = ..., comment: _Optional[str] = ..., decided_by: _Optional[str] = ..., decided_ms: _Optional[int] = ..., withdrawn: _Optional[bool] = ...) -> None: ...

class DecideRequest(_message.Message):
    __slots__ = ("cases", "decision", "undo_s")
    CASES_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    UNDO_S_FIELD_NUMBER: _ClassVar[int]
    cases: _containers.RepeatedCompositeFieldContainer[ClaimedCase]
    decision: Decision
    undo_s: int
    def __init__(self, cases: _Optional[_Iterable[_Union[ClaimedCase, _Mapping]]] = ..., decision: _Optional[_Union[Decision, _Mapping]] = ..., undo_s: _Optional[int] = ...) -> None: ...

class DecideResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[DecideResult]
    def __init__(self, results: _Optional[_Iterable[_Union[DecideResult, _Mapping]]] = ...) -> None: ...

class DecideResult(_message.Message):
    __slots__ = ("case_id", "case", "error")
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    CASE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    case_id: str
    case: Case
    error: _status_pb2.Status
    def __init__(self, case_id: _Optional[str] = ..., case: _Optional[_Union[Case, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class WithdrawRequest(_message.Message):
    __slots__ = ("case_id", "comment", "fencing_token")
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    case_id: str
    comment: str
    fencing_token: int
    def __init__(self, case_id: _Optional[str] = ..., comment: _Optional[str] = ..., fencing_token: _Optional[int] = ...) -> None: ...

class AppealRequest(_message.Message):
    __slots__ = ("case_id", "appellant", "statement")
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    APPELLANT_FIELD_NUMBER: _ClassVar[int]
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    case_id: str
    appellant: str
    statement: str
    def __init__(self, case_id: _Optional[str] = ..., appellant: _Optional[str] = ..., statement: _Optional[str] = ...) -> None: ...

class Referral(_message.Message):
    __slots__ = ("id", "case_id", "state", "recipient", "reason", "proposed_by", "approved_by", "receipt_number", "failure", "evidence")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Referral.State]
        STATE_PROPOSED: _ClassVar[Referral.State]
        STATE_APPROVED: _ClassVar[Referral.State]
        STATE_SENT: _ClassVar[Referral.State]
        STATE_RECEIVED: _ClassVar[Referral.State]
        STATE_CANCELLED: _ClassVar[Referral.State]
        STATE_FAILED: _ClassVar[Referral.State]
    STATE_UNSPECIFIED: Referral.State
    STATE_PROPOSED: Referral.State
    STATE_APPROVED: Referral.State
    STATE_SENT: Referral.State
    STATE_RECEIVED: Referral.State
    STATE_CANCELLED: Referral.State
    STATE_FAILED: Referral.State
    ID_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    RECIPIENT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PROPOSED_BY_FIELD_NUMBER: _ClassVar[int]
    APPROVED_BY_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_NUMBER_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    id: str
    case_id: str
    state: Referral.State
    recipient: str
    reason: str
    proposed_by: str
    approved_by: str
    receipt_number: str
    failure: str
    evidence: EvidenceChoice
    def __init__(self, id: _Optional[str] = ..., case_id: _Optional[str] = ..., state: _Optional[_Union[Referral.State, str]] = ..., recipient: _Optional[str] = ..., reason: _Optional[str] = ..., proposed_by: _Optional[str] = ..., approved_by: _Optional[str] = ..., receipt_number: _Optional[str] = ..., failure: _Optional[str] = ..., evidence: _Optional[_Union[EvidenceChoice, _Mapping]] = ...) -> None: ...

class EvidenceChoice(_message.Message):
    __slots__ = ("frames",)
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    frames: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, frames: _Optional[_Iterable[int]] = ...) -> None: ...

class ReferRequest(_message.Message):
    __slots__ = ("case_id", "recipient", "reason", "evidence")
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    RECIPIENT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    case_id: str
    recipient: str
    reason: str
    evidence: EvidenceChoice
    def __init__(self, case_id: _Optional[str] = ..., recipient: _Optional[str] = ..., reason: _Optional[str] = ..., evidence: _Optional[_Union[EvidenceChoice, _Mapping]] = ...) -> None: ...

class ApproveReferralRequest(_message.Message):
    __slots__ = ("referral_id", "comment")
    REFERRAL_ID_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    referral_id: str
    comment: str
    def __init__(self, referral_id: _Optional[str] = ..., comment: _Optional[str] = ...) -> None: ...

class CancelReferralRequest(_message.Message):
    __slots__ = ("referral_id", "comment")
    REFERRAL_ID_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    referral_id: str
    comment: str
    def __init__(self, referral_id: _Optional[str] = ..., comment: _Optional[str] = ...) -> None: ...

class RecordReceiptRequest(_message.Message):
    __slots__ = ("referral_id", "receipt_number")
    REFERRAL_ID_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_NUMBER_FIELD_NUMBER: _ClassVar[int]
    referral_id: str
    receipt_number: str
    def __init__(self, referral_id: _Optional[str] = ..., receipt_number: _Optional[str] = ...) -> None: ...

class ListEventsRequest(_message.Message):
    __slots__ = ("after", "case_id", "page_size")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    after: int
    case_id: str
    page_size: int
    def __init__(self, after: _Optional[int] = ..., case_id: _Optional[str] = ..., page_size: _Optional[int] = ...) -> None: ...

class ListEventsResponse(_message.Message):
    __slots__ = ("events", "heads")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    HEADS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    heads: _containers.RepeatedCompositeFieldContainer[SignedHead]
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., heads: _Optional[_Iterable[_Union[SignedHead, _Mapping]]] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("position", "canonical", "hash")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    CANONICAL_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    position: int
    canonical: bytes
    hash: bytes
    def __init__(self, position: _Optional[int] = ..., canonical: _Optional[bytes] = ..., hash: _Optional[bytes] = ...) -> None: ...

class SignedHead(_message.Message):
    __slots__ = ("position", "hash", "signed_ms", "signature", "public_key")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    SIGNED_MS_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    position: int
    hash: bytes
    signed_ms: int
    signature: bytes
    public_key: bytes
    def __init__(self, position: _Optional[int] = ..., hash: _Optional[bytes] = ..., signed_ms: _Optional[int] = ..., signature: _Optional[bytes] = ..., public_key: _Optional[bytes] = ...) -> None: ...

class Delivery(_message.Message):
    __slots__ = ("id", "case_id", "kind", "state", "attempts", "next_attempt_ms", "last_error")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Delivery.State]
        STATE_WAITING: _ClassVar[Delivery.State]
        STATE_DELIVERED: _ClassVar[Delivery.State]
        STATE_DEAD: _ClassVar[Delivery.State]
        STATE_SUPERSEDED: _ClassVar[Delivery.State]
    STATE_UNSPECIFIED: Delivery.State
    STATE_WAITING: Delivery.State
    STATE_DELIVERED: Delivery.State
    STATE_DEAD: Delivery.State
    STATE_SUPERSEDED: Delivery.State
    ID_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_ATTEMPT_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    id: int
    case_id: str
    kind: str
    state: Delivery.State
    attempts: int
    next_attempt_ms: int
    last_error: str
    def __init__(self, id: _Optional[int] = ..., case_id: _Optional[str] = ..., kind: _Optional[str] = ..., state: _Optional[_Union[Delivery.State, str]] = ..., attempts: _Optional[int] = ..., next_attempt_ms: _Optional[int] = ..., last_error: _Optional[str] = ...) -> None: ...

class ListDeliveriesRequest(_message.Message):
    __slots__ = ("state", "after", "page_size")
    STATE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    state: Delivery.State
    after: int
    page_size: int
    def __init__(self, state: _Optional[_Union[Delivery.State, str]] = ..., after: _Optional[int] = ..., page_size: _Optional[int] = ...) -> None: ...

class ListDeliveriesResponse(_message.Message):
    __slots__ = ("deliveries",)
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    deliveries: _containers.RepeatedCompositeFieldContainer[Delivery]
    def __init__(self, deliveries: _Optional[_Iterable[_Union[Delivery, _Mapping]]] = ...) -> None: ...

class ReplayRequest(_message.Message):
    __slots__ = ("delivery_ids",)
    DELIVERY_IDS_FIELD_NUMBER: _ClassVar[int]
    delivery_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, delivery_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class ReplayResponse(_message.Message):
    __slots__ = ("delivery_ids",)
    DELIVERY_IDS_FIELD_NUMBER: _ClassVar[int]
    delivery_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, delivery_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class ReportRequest(_message.Message):
    __slots__ = ("report_id", "subject", "content_digest", "reason", "note", "reporter", "locale", "source")
    REPORT_ID_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    CONTENT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    REPORTER_FIELD_NUMBER: _ClassVar[int]
    LOCALE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    report_id: str
    subject: Subject
    content_digest: str
    reason: str
    note: str
    reporter: str
    locale: str
    source: ReportSource
    def __init__(self, report_id: _Optional[str] = ..., subject: _Optional[_Union[Subject, _Mapping]] = ..., content_digest: _Optional[str] = ..., reason: _Optional[str] = ..., note: _Optional[str] = ..., reporter: _Optional[str] = ..., locale: _Optional[str] = ..., source: _Optional[_Union[ReportSource, str]] = ...) -> None: ...

class GetReportRequest(_message.Message):
    __slots__ = ("report_id",)
    REPORT_ID_FIELD_NUMBER: _ClassVar[int]
    report_id: str
    def __init__(self, report_id: _Optional[str] = ...) -> None: ...

class Report(_message.Message):
    __slots__ = ("id", "state", "case_id", "reason", "note", "reporter", "locale", "source", "weight", "reported_ms", "duplicate")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Report.State]
        STATE_WAITING: _ClassVar[Report.State]
        STATE_CONFIRMED: _ClassVar[Report.State]
        STATE_HARMLESS: _ClassVar[Report.State]
        STATE_UNRESOLVED: _ClassVar[Report.State]
    STATE_UNSPECIFIED: Report.State
    STATE_WAITING: Report.State
    STATE_CONFIRMED: Report.State
    STATE_HARMLESS: Report.State
    STATE_UNRESOLVED: Report.State
    ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    REPORTER_FIELD_NUMBER: _ClassVar[int]
    LOCALE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    REPORTED_MS_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    id: str
    state: Report.State
    case_id: str
    reason: str
    note: str
    reporter: str
    locale: str
    source: ReportSource
    weight: float
    reported_ms: int
    duplicate: bool
    def __init__(self, id: _Optional[str] = ..., state: _Optional[_Union[Report.State, str]] = ..., case_id: _Optional[str] = ..., reason: _Optional[str] = ..., note: _Optional[str] = ..., reporter: _Optional[str] = ..., locale: _Optional[str] = ..., source: _Optional[_Union[ReportSource, str]] = ..., weight: _Optional[float] = ..., reported_ms: _Optional[int] = ..., duplicate: _Optional[bool] = ...) -> None: ...
