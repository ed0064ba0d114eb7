"""Opening cases with the enforcement service; its errors become what they mean for a case."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Final, Self

import grpc

from wildgate_client.token_file import TokenUnreadable, bearer
from wildgate_proto.v1 import cases_pb2 as pb
from wildgate_server.transport import IN_THE_CLEAR, Channel, ClientTls

__all__ = ["CaseClient", "NotOpened"]

_OPEN_CASE = f"/{pb.DESCRIPTOR.services_by_name['CaseService'].full_name}/OpenCase"
_CHANNEL: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
# The same request would be refused again.
_FINAL = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE})
# These are about one case. Any other failure is about the service, such as a token that it does not take.
_OF_ONE_CASE = frozenset(
    {
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
    }
)


class NotOpened(Exception):
    """No case was opened, or it is not known whether one was. `final`: nor will be; `away`: nor are others now."""

    def __init__(self, why: str, *, final: bool = False, away: bool = True) -> None:
        super().__init__(why)
        self.final = final
        self.away = away


class CaseClient:
    """Asks the service at `target`, with the token that is in `token_file` at the time."""

    def __init__(self, target: str, token_file: Path | None, tls: ClientTls = IN_THE_CLEAR) -> None:
        self._token_file = token_file
        self._channel = Channel(target, tls, _CHANNEL)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def open_case(self, request: bytes, timeout_s: float) -> pb.OpenCaseResponse:
        """The case that an encoded `OpenCaseRequest` opens or joins; sending it again is safe. Raises NotOpened."""
        try:
            # Requests are kept as they are encoded.
            open_case: grpc.aio.UnaryUnaryMultiCallable[bytes, pb.OpenCaseResponse] = self._channel.now.unary_unary(
                _OPEN_CASE, response_deserializer=pb.OpenCaseResponse.FromString
            )
            answer: pb.OpenCaseResponse = await open_case(request, timeout=timeout_s, metadata=bearer(self._token_file))
        except TokenUnreadable as error:
            raise NotOpened(f"enforcement.token_file: {error}") from error
        except grpc.aio.AioRpcError as error:
            code = error.code()
            why = f"{code.name}: {error.details()}"
            raise NotOpened(why, final=code in _FINAL, away=code not in _FINAL | _OF_ONE_CASE) from error
        return answer
