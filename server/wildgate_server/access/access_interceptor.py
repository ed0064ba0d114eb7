"""The door: each call is looked up in a table of what it takes, before its message is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from grpc_status import rpc_status

from wildgate_server.access.tokens import Caller, TokenCheck
from wildgate_server.errors import AccessDenied, AccessUnavailable, Unauthenticated, WildgateError
from wildgate_server.wire import status_of

__all__ = ["GATEWAY_CALLS", "OPEN", "AccessInterceptor", "Need", "present_caller"]

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Need:
    """What a call takes: one of these scopes, or one of these roles. With neither, nobody may."""

    scopes: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()

    @classmethod
    def scope(cls, *scopes: str) -> Need:
        """One of these scopes."""
        return cls(scopes=frozenset(scopes))

    @classmethod
    def role(cls, *roles: str) -> Need:
        """One of these roles."""
        return cls(roles=frozenset(roles))

    def met_by(self, caller: Caller) -> bool:
        """Whether the caller has one of them."""
        return bool(self.scopes & caller.scopes or self.roles & caller.roles)


OPEN = Need()
"""Marks, in a table, a call that takes no token at all; compared by identity."""

_BLOCKS = "/wildgate.v1.BlockService/"

GATEWAY_CALLS: Mapping[str, Need] = {
    "/wildgate.v1.ScoringService/Score": Need.scope("score"),
    "/wildgate.v1.ScoringService/ScoreStream": Need.scope("score"),
    **{
        _BLOCKS + call: Need.scope("administer")
        for call in ("Add", "AddVideo", "Update", "Remove", "Get", "List", "Follow", "Import", "Export")
    },
    "/grpc.health.v1.Health/Check": OPEN,
    "/grpc.health.v1.Health/Watch": OPEN,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Need.scope("reflect"),
}
"""What each of the gateway's calls takes."""

_present: ContextVar[Caller | None] = ContextVar("caller", default=None)


def present_caller() -> Caller | None:
    """The caller of the call that is being handled; None where it took no token."""
    return _present.get()


class AccessInterceptor(grpc.aio.ServerInterceptor):
    """Lets a call pass to its handler if its token's caller has what `table` asks for (full method name -> need).

    A call that is not in the table is refused. Refused calls cost no message: it is never read. Each leaves one line in
    the log, without the token. A stream is looked at when it begins and goes on when its token expires. `denied` is
    awaited for each known caller, and the call, that the table refuses.
    """

    def __init__(
        self,
        check: TokenCheck,
        table: Mapping[str, Need],
        denied: Callable[[Caller, str], Awaitable[None]] | None = None,
    ) -> None:
        self._check = check
        self._table = table
        self._denied = denied

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The method's handler, or one that refuses."""
        method = handler_call_details.method
        need = self._table.get(method)
        caller = None
        if need is not OPEN:
            try:
                caller = await self._check.caller(_bearer(handler_call_details.invocation_metadata))
                if need is None or not need.met_by(caller):
                    if self._denied:
                        await self._denied(caller, method)
                    raise AccessDenied("the token does not allow this call")
            except (Unauthenticated, AccessDenied, AccessUnavailable) as refusal:
                return _refusing(method, caller, refusal)
        _present.set(caller)
        return await continuation(handler_call_details)


def _bearer(metadata: Any) -> str:
    values = [value for name, value in metadata or () if name == "authorization"]
    if len(values) != 1 or not isinstance(values[0], str):
        raise Unauthenticated("there must be one authorization header")
    scheme, _, token = values[0].partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("the authorization header holds no bearer token")
    return token


def _refusing(method: str, caller: Caller | None, refusal: WildgateError) -> grpc.RpcMethodHandler[Any, Any]:
    """A handler for any kind of method that answers without reading."""

    async def refuse(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        _log.warning(
            "access_refused",
            call=method,
            status=refusal.status.name,
            why=refusal.message,
            subject=caller.subject if caller else "",
            tenant=caller.tenant if caller else "",
            peer=context.peer(),
        )
        status = rpc_status.to_status(status_of(refusal))
        await context.abort(status.code, status.details, status.trailing_metadata)

    return grpc.stream_stream_rpc_method_handler(refuse)
