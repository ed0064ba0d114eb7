"""What can go wrong, and what the caller is told; the rest is as in `wildgate_server.errors`.

WildgateError
 ├─ SamePerson            PERMISSION_DENIED     SAME_PERSON
 ├─ NoSuchRecord          NOT_FOUND             RECORD_NOT_FOUND
 ├─ QueueEmpty            NOT_FOUND             QUEUE_EMPTY
 ├─ CaseHeld              FAILED_PRECONDITION   CASE_HELD
 ├─ LeaseLost             FAILED_PRECONDITION   LEASE_LOST
 ├─ WrongState            FAILED_PRECONDITION   WRONG_STATE
 ├─ TooManyReports        RESOURCE_EXHAUSTED    TOO_MANY_REPORTS
 └─ StorageUnavailable    UNAVAILABLE           STORAGE_UNAVAILABLE
"""

from __future__ import annotations

from wildgate_server.errors import AccessDenied, InvalidRequest, StartError, Status, WildgateError

__all__ = [
    "AccessDenied",
    "CaseHeld",
    "InvalidRequest",
    "LeaseLost",
    "NoSuchRecord",
    "QueueEmpty",
    "SamePerson",
    "StartError",
    "StorageUnavailable",
    "TooManyReports",
    "WildgateError",
    "WrongState",
]


class SamePerson(WildgateError, status=Status.PERMISSION_DENIED, reason="SAME_PERSON"):
    """Another person has to do this: the caller had a part in what is to be judged."""


class NoSuchRecord(WildgateError, status=Status.NOT_FOUND, reason="RECORD_NOT_FOUND"):
    """No case, report, referral or evidence frame has this id."""


class QueueEmpty(WildgateError, status=Status.NOT_FOUND, reason="QUEUE_EMPTY"):
    """Nothing waits that the caller may decide."""


class CaseHeld(WildgateError, status=Status.FAILED_PRECONDITION, reason="CASE_HELD"):
    """Somebody else holds the case, or it sleeps."""


class LeaseLost(WildgateError, status=Status.FAILED_PRECONDITION, reason="LEASE_LOST"):
    """The token is not that of the case's last lease, or the lease is not the caller's: nothing was changed."""


class WrongState(WildgateError, status=Status.FAILED_PRECONDITION, reason="WRONG_STATE"):
    """Nothing leads from the state there is to what was asked for."""


class TooManyReports(WildgateError, status=Status.RESOURCE_EXHAUSTED, reason="TOO_MANY_REPORTS"):
    """The reporter filed as many reports as are taken in an hour."""


class StorageUnavailable(WildgateError, status=Status.UNAVAILABLE, reason="STORAGE_UNAVAILABLE"):
    """The database is away, full or locked; nothing was changed."""
