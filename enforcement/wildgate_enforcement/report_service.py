"""`wildgate.v1.ReportService`: reports of content, and what became of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import grpc
from sqlalchemy.exc import IntegrityError

from wildgate_enforcement.database import Database
from wildgate_enforcement.errors import InvalidRequest, NoSuchRecord
from wildgate_enforcement.messages import report_message
from wildgate_enforcement.policy import EnforcementPolicy
from wildgate_enforcement.reporting import file_report
from wildgate_enforcement.requests import caller
from wildgate_enforcement.tables import ReportRow
from wildgate_proto.v1 import cases_pb2 as pb
from wildgate_proto.v1.cases_pb2_grpc import ReportServiceServicer

__all__ = ["OTHER", "ReportService"]

Context = grpc.aio.ServicerContext[Any, Any]

OTHER = "other"
"""The reason that is none of the policy's labels."""


class ReportService(ReportServiceServicer):
    """Over one database. `reasons` are the labels of the policy."""

    def __init__(self, database: Database, policy: EnforcementPolicy, reasons: Collection[str]) -> None:
        self._database = database
        self._policy = policy
        self._reasons = frozenset({*reasons, OTHER})

    async def Report(self, request: pb.ReportRequest, context: Context) -> pb.Report:
        """Files a report."""
        for name in ("report_id", "reporter"):
            if not getattr(request, name):
                raise InvalidRequest(f"a report has a {name}", field=name)
        if request.reason not in self._reasons:
            raise InvalidRequest(f"reason is none of {', '.join(sorted(self._reasons))}", field="reason")
        try:
            return await self._filed(request)
        except IntegrityError:  # the same report came twice at once, and the other one is there now
            return await self._filed(request)

    async def _filed(self, request: pb.ReportRequest) -> pb.Report:
        async with self._database.writing(caller().subject) as transaction:
            return report_message(await file_report(transaction, request, self._policy))

    async def GetReport(self, request: pb.GetReportRequest, context: Context) -> pb.Report:
        """How a report stands."""
        async with self._database.reading() as session:
            report = await session.get(ReportRow, request.report_id)
        if report is None:
            raise NoSuchRecord("no report has this id", field="report_id")
        return report_message(report)
