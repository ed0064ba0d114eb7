"""The door: each call is looked up in a table of what it takes, before its message is read."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import grpc
import structlog
from grpc_status import rpc_status

from wildgate_server.access.tokens import Caller, TokenCheck
from wildgate_server.errors import AccessDenied, AccessUnavailable, Unauthenticated, WildgateError
from wildgate_server.wire import status_of

__all__ = [
    "GATEWAY_CALLS",
    "OPEN",
    "AccessInterceptor",
    "Need",
    "as_caller",
    "log_refusal",
    "present_caller",
    "require_scope",
]

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
    "/wildgate.v1.ScoringService/Score": Need.scope("score", "read_digests"),
    "/wildgate.v1.ScoringService/ScoreStream": Need.scope("score", "read_digests"),
    **{
        _BLOCKS + call: Need.scope("administer")
        for call in ("Add", "AddVideo", "Update", "Remove", "Get", "List", "Import", "Export")
    },
    _BLOCKS + "Follow": Need.scope("administer", "follow"),
    "/grpc.health.v1.Health/Check": OPEN,
    "/grpc.health.v1.Health/Watch": OPEN,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Need.scope("reflect"),
}
"""What each of the gateway's calls takes; what a request asks for may take more (`require_scope`)."""

_present: ContextVar[Caller | None] = ContextVar("caller", default=None)


def present_caller() -> Caller | None:
    """The caller of the call that is being handled; None where it took no token."""
    return _present.get()


@contextmanager
def as_caller(caller: Caller) -> Iterator[None]:
    """Handles a call that did not come over gRPC as that caller's, whom somebody checked against the same table."""
    before = _present.set(caller)
    try:
        yield
    finally:
        _present.reset(before)


def require_scope(scope: str, what: str) -> None:
    """Raises AccessDenied where the call took a token that has not this scope, which `what` takes."""
    caller = present_caller()
    if caller and scope not in caller.scopes:
        refusal = AccessDenied(f"the token does not allow {what}: it lacks the scope {scope}")
        log_refusal(what, caller, refusal)
        raise refusal


class AccessInterceptor(grpc.aio.ServerInterceptor):
    """Lets a call pass to its handler if its token's caller has what `table` asks for (full method name -> need).

    A call that is not in the table is refused, and so is one over a connection whose certificate was revoked. Refused
    calls cost no message: of a stream it is never read. Each leaves one line in the log, without the token. A stream is
    looked at when it begins and goes on when its token expires. `denied` is awaited for each known caller, and the
    call, that the table refuses. Handlers must be unary, or coroutines that read and write themselves.
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
        handler = await continuation(handler_call_details)
        return handler if handler is None or caller is None else self._certified(handler, method, caller)

    def _certified(
        self, handler: grpc.RpcMethodHandler[Any, Any], method: str, caller: Caller
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """The handler, for connections whose certificate holds; which that is, only a call itself can tell."""
        kind = "stream_stream" if handler.request_streaming else "unary_unary"
        handle: Any = getattr(handler, kind)

        async def certified(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            for certificate in context.auth_context().get("x509_pem_cert", ()):
                if self._check.revokes(_fingerprint(certificate)):
                    await _refuse(context, method, caller, Unauthenticated("the certificate has been revoked"))
            return await handle(request, context)

        make: Any = getattr(grpc, f"{kind}_rpc_method_handler")
        made: grpc.RpcMethodHandler[Any, Any] = make(
            certified,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
        return made


def _bearer(metadata: Any) -> str:
    values = [value for name, value in metadata or () if name == "authorization"]
    if len(values) != 1 or not isinstance(values[0], str):
        raise Unauthenticated("there must be one authorization header")
    scheme, _, token = values[0].partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("the authorization header holds no bearer token")
    return token


@lru_cache(1024)
def _fingerprint(certificate: bytes) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.decode())).hexdigest()


def _refusing(method: str, caller: Caller | None, refusal: WildgateError) -> grpc.RpcMethodHandler[Any, Any]:
    """A handler for any kind of method that answers without reading."""

    async def refuse(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await _refuse(context, method, caller, refusal)

    return grpc.stream_stream_rpc_method_handler(refuse)


async def _refuse(
    context: grpc.aio.ServicerContext[Any, Any], method: str, caller: Caller | None, refusal: WildgateError
) -> None:
    log_refusal(method, caller, refusal, peer=context.peer())
    status = rpc_status.to_status(status_of(refusal))
    await context.abort(status.code, status.details, status.trailing_metadata)


def log_refusal(call: str, caller: Caller | None, refusal: WildgateError, **more: str) -> None:
    """One line about a call that was refused."""
    _log.warning(
        "access_refused",
        call=call,
        status=refusal.status.name,
        why=refusal.message,
        subject=caller.subject if caller else "",
        tenant=caller.tenant if caller else "",
        **more,
    )
