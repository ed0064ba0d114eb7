"""The door of both services: who calls, whether they may, and whether their texts can be kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Final

import grpc
import structlog
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from wildgate_enforcement.database import Database
from wildgate_enforcement.errors import InvalidRequest, RoleMissing, Unauthenticated
from wildgate_enforcement.roles import ALLOWED, Caller, TokenCheck
from wildgate_proto.v1 import cases_pb2, scoring_pb2

__all__ = ["CASE_SERVICE", "REPORT_SERVICE", "Guard", "caller", "check_texts"]

CASE_SERVICE: Final[str] = cases_pb2.DESCRIPTOR.services_by_name["CaseService"].full_name
REPORT_SERVICE: Final[str] = cases_pb2.DESCRIPTOR.services_by_name["ReportService"].full_name

_log = structlog.get_logger()

_BEARER = "bearer "
_LONGEST_TOKEN = 16_384
_LONGEST: Final[Mapping[str, int]] = MappingProxyType(
    {"uri": 8192, "note": 4000, "comment": 4000, "statement": 4000, "reason": 2000, "video_id": 256, "report_id": 128,
     "language": 35, "locale": 35, "content_digest": 128}
)  # fmt: skip
_LONGEST_OTHER = 512
_caller: ContextVar[Caller] = ContextVar("caller")


def caller() -> Caller:
    """Who made the call that is being answered."""
    return _caller.get()


class Guard(grpc.aio.ServerInterceptor):
    """Lets nobody in but by the table of roles. A refused attempt of somebody known is an event of the log."""

    def __init__(self, check: TokenCheck, database: Database) -> None:
        self._check = check
        self._database = database

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wraps the method's handler."""
        handler = await continuation(handler_call_details)
        service, _, method = handler_call_details.method.lstrip("/").rpartition("/")
        if handler is None or service not in (CASE_SERVICE, REPORT_SERVICE):
            return handler
        call = f"{service.rpartition('.')[2]}/{method}"
        handle: Any = handler.unary_unary  # neither service has another kind of call

        async def guarded(request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            known = await self._known(context)
            await self._admit(known, call)
            check_texts(request)
            _caller.set(known)
            return await handle(request, context)

        return grpc.unary_unary_rpc_method_handler(
            guarded,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    async def _known(self, context: grpc.aio.ServicerContext[Any, Any]) -> Caller:
        sent = [value for key, value in context.invocation_metadata() or () if key == "authorization"]
        if len(sent) != 1 or not isinstance(sent[0], str) or sent[0][: len(_BEARER)].lower() != _BEARER:
            raise Unauthenticated("the call needs one bearer token, in its metadata's authorization")
        if len(sent[0]) > _LONGEST_TOKEN:
            raise Unauthenticated("the token is too long")
        return await self._check(sent[0][len(_BEARER) :].strip())

    async def _admit(self, known: Caller, call: str) -> None:
        if ALLOWED.get(call, frozenset()) & known.roles:
            return
        _log.warning("denied", call=call, subject=known.subject)
        async with self._database.writing(known.subject) as transaction:
            transaction.log("", "denied", call=call, roles=sorted(known.roles))
        needed = ", ".join(sorted(ALLOWED.get(call, ()))) or "nobody"
        raise RoleMissing(f"{call} is for: {needed}", metadata={"call": call})


def check_texts(message: Message, path: str = "") -> None:
    """Raises InvalidRequest for a text that is too long, or holds the character NUL, which databases refuse.

    A verdict is kept as it is, so that its texts are not looked at.
    """
    for field, value in message.ListFields():
        name = f"{path}{field.name}"
        values = list(value) if isinstance(field, FieldDescriptor) and field.is_repeated else [value]
        for each in values:
            if isinstance(each, Message) and each.DESCRIPTOR is not scoring_pb2.Verdict.DESCRIPTOR:
                check_texts(each, f"{name}.")
            elif isinstance(each, str):
                longest = _LONGEST.get(field.name, _LONGEST_OTHER)
                if len(each) > longest or "\0" in each:
                    raise InvalidRequest(f"{name} is longer than {longest}, or holds NUL", field=name)
