"""What every request has to hold to before it is looked at, and who made it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError, Message

from wildgate_enforcement.errors import InvalidRequest
from wildgate_enforcement.roles import CASE_SERVICE, REPORT_SERVICE
from wildgate_proto.v1 import scoring_pb2
from wildgate_server.access.access_interceptor import present_caller
from wildgate_server.access.tokens import Caller

__all__ = ["FieldCheck", "caller", "check_fields"]

_LONGEST: Final[Mapping[str, int]] = MappingProxyType(
    {"uri": 2048, "note": 4000, "comment": 4000, "statement": 4000, "reason": 2000, "video_id": 256, "report_id": 128,
     "language": 35, "locale": 35, "content_digest": 128}
)  # fmt: skip
_LONGEST_OTHER = 512
_MOST_REPEATED = 1000


def caller() -> Caller:
    """Who made the call that is being answered."""
    present = present_caller()
    assert present is not None  # every call of the table takes a token
    return present


class FieldCheck(grpc.aio.ServerInterceptor):
    """Decodes requests, and hands only those on whose fields can be kept."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wraps the method's handler."""
        handler = await continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith((f"/{CASE_SERVICE}/", f"/{REPORT_SERVICE}/")):
            return handler
        handle: Any = handler.unary_unary  # neither service has another kind of call
        decoded: Any = handler.request_deserializer

        async def checked(encoded: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            try:
                request: Message = decoded(encoded)
            except DecodeError:
                raise InvalidRequest("the request is no message of this call") from None
            check_fields(request)
            return await handle(request, context)

        return grpc.unary_unary_rpc_method_handler(checked, response_serializer=handler.response_serializer)


def check_fields(message: Message, path: str = "") -> None:
    """Raises InvalidRequest for a text that is too long, or holds the character NUL, which databases refuse.

    Also for a number that is none of its enumeration, and for more repetitions than a statement takes. A verdict is
    kept as it is, so that it is not looked at.
    """
    for field, value in message.ListFields():
        name = f"{path}{field.name}"
        if field.is_repeated and len(value) > _MOST_REPEATED:
            raise InvalidRequest(f"{name} is repeated {len(value)} times, not up to {_MOST_REPEATED}", field=name)
        for each in value if field.is_repeated else (value,):
            if isinstance(each, Message) and each.DESCRIPTOR is not scoring_pb2.Verdict.DESCRIPTOR:
                check_fields(each, f"{name}.")
            elif isinstance(each, str):
                longest = _LONGEST.get(field.name, _LONGEST_OTHER)
                if len(each) > longest or "\0" in each:
                    raise InvalidRequest(f"{name} is longer than {longest}, or holds NUL", field=name)
            elif field.enum_type and each not in field.enum_type.values_by_number:
                raise InvalidRequest(f"{name} has no value {each}", field=name)
