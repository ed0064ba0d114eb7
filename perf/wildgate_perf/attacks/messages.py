"""Messages that never end, that are larger than they look, and that nobody waits for the answer to."""

from __future__ import annotations

import asyncio
import struct

import grpc
import h2.config
import h2.connection
import h2.events

from wildgate_perf.attacks.attack import Attack, Target, connection, for_ever, score, video
from wildgate_perf.workloads import SCORE
from wildgate_proto.v1 import scoring_pb2 as pb

_PREFIX_BYTES = 5  # gRPC's own: a flag and the message's length
_WHOLE = 60 << 20  # bytes, of which the last thousand never come
_HELD_BACK = 1000
_ENDS = (h2.events.StreamEnded, h2.events.StreamReset, h2.events.ConnectionTerminated)
_UNKNOWN_FIELDS = b"\x20\x00" * (60 << 19)


async def _unfinished(target: Target) -> None:
    async def step() -> None:
        await _send_but_for_the_end(target)

    await for_ever(step, at_once=12, per_s=12)


async def _send_but_for_the_end(target: Target) -> None:
    """A Score of 60 MB as HTTP/2 has it, as fast as the server takes it; then its end is awaited."""
    host, _, port = target.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    wire = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    wire.initiate_connection()
    headers = [(":method", "POST"), (":scheme", "http"), (":path", SCORE), (":authority", "attack"), ("te", "trailers")]
    wire.send_headers(1, [*headers, ("content-type", "application/grpc")])
    left = struct.pack(">BI", 0, _WHOLE) + b"\x12" * _PREFIX_BYTES
    unsent = _WHOLE - _HELD_BACK
    try:
        while True:
            while unsent and (room := min(wire.local_flow_control_window(1), wire.max_outbound_frame_size, unsent)):
                wire.send_data(1, left.ljust(room, b"\0")[:room])
                left, unsent = b"", unsent - room
                writer.write(wire.data_to_send())
            writer.write(wire.data_to_send())
            await writer.drain()
            if not (received := await reader.read(1 << 16)):
                return
            if any(isinstance(each, _ENDS) for each in wire.receive_data(received)):
                return
    finally:
        writer.close()


async def _compressed(target: Target) -> None:
    async with connection(target) as one:

        async def step() -> None:
            await score(one)(_UNKNOWN_FIELDS, compression=grpc.Compression.Gzip, timeout=30)

        await for_ever(step, at_once=4, per_s=8)


async def _given_up(target: Target) -> None:
    request = video()
    async with connection(target) as one:
        number = 0

        async def step() -> None:
            nonlocal number
            number += 1
            if number % 2:
                await score(one)(request, timeout=0.0001)
            else:
                call = score(one)(request)
                await asyncio.sleep(0.002)
                call.cancel()

        await for_ever(step, at_once=64, per_s=640)


async def _long(target: Target) -> None:
    async with connection(target) as one:
        uris = ("https://" + "ü" * (2 << 20), "file://" + str(target.folder) + "/./" * (2 << 20))
        requests = [pb.ScoreRequest(uri=uri).SerializeToString() for uri in uris]
        number = 0

        async def step() -> None:
            nonlocal number
            number += 1
            await score(one)(requests[number % 2], timeout=30)

        await for_ever(step, at_once=2, per_s=8)


ATTACKS = (
    Attack(2, "URIs of 4 and 6 MB: a host that is not ASCII, a path of /./", _long),
    Attack(5, "12 messages of 60 MB that lack their last kilobyte", _unfinished),
    Attack(6, "gzipped messages, 60 KB that become 60 MB of unknown fields", _compressed),
    Attack(15, "640 calls a second that are given up at once", _given_up),
)
