"""The one way from a page to the list of blocks: calls of the block service, under the case service's own token."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from wildgate_client import ClientOptions, SourceUnreadable
from wildgate_enforcement.database import Database
from wildgate_enforcement.errors import AccessDenied, InvalidRequest, WildgateError
from wildgate_enforcement.roles import BLOCK_CALLS, BLOCK_SERVICE
from wildgate_enforcement.service import Denied
from wildgate_enforcement.settings import EnforcementSettings
from wildgate_proto.v1.blocks_pb2_grpc import BlockServiceStub
from wildgate_server.access.tokens import Caller
from wildgate_server.errors import BlockNotFound, BlocksUnavailable
from wildgate_server.transport import Channel

__all__ = ["BlockDoor"]

_CALL_S = 10.0
_CHANGES = ("Add", "Update")
_REFUSALS: Mapping[grpc.StatusCode, Callable[[str], WildgateError]] = {
    grpc.StatusCode.NOT_FOUND: BlockNotFound,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
}


class BlockDoor:
    """Makes calls for people, by the table of calls and roles; what it refuses or changes is an event of the log."""

    def __init__(self, settings: EnforcementSettings, database: Database, denied: Denied) -> None:
        self._database = database
        self._denied = denied
        self._metadata = ClientOptions(token_file=settings.token_file).call_metadata
        self._channel = Channel(settings.blocks, settings.client_tls) if settings.blocks else None

    async def close(self) -> None:
        """Leaves the block service."""
        if self._channel:
            await self._channel.close()

    def may(self, caller: Caller, call: str) -> bool:
        """Whether there is a list, and the caller's roles allow a call, such as "List"."""
        return self._channel is not None and BLOCK_CALLS[f"/{BLOCK_SERVICE}/{call}"].met_by(caller)

    async def call(self, caller: Caller, call: str, request: Message) -> Any:
        """The answer to a call. Raises AccessDenied, BlockNotFound, InvalidRequest and BlocksUnavailable."""
        if self._channel is None:
            raise BlocksUnavailable("this service knows no list of blocks: `blocks` is not set")
        if not self.may(caller, call):
            await self._denied(caller, f"/{BLOCK_SERVICE}/{call}")
            raise AccessDenied("your roles do not allow this")
        if call in _CHANGES:
            async with self._database.writing(caller.subject) as transaction:
                asked = MessageToDict(request, preserving_proto_field_name=True)
                transaction.log("", "block_change_asked", call=call, request=asked)
        stub = BlockServiceStub(self._channel.now)  # type: ignore[no-untyped-call]
        try:
            return await getattr(stub, call)(request, timeout=_CALL_S, metadata=self._metadata())
        except SourceUnreadable as error:
            raise BlocksUnavailable(f"the list of blocks cannot be asked: {error}") from error
        except grpc.aio.AioRpcError as error:
            said = error.details() or error.code().name
            if refusal := _REFUSALS.get(error.code()):
                raise refusal(said) from error
            raise BlocksUnavailable(f"the list of blocks does not answer: {said}") from error
