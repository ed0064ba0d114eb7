"""A Triton at the seam of the batchers: sees horns where it is told to, and refuses or fails what it is told to."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from wildgate_server.errors import RowRefused
from wildgate_server.triton.client import COSTLY, DAMAGED, ClipRow, DecoderRefused, DetectionBatch

HORN = 1  # its class index
K = 27  # hashes of a frame


class ScriptedTriton:
    """Sees a horn (0.75) in the `horns`, frames by clip and index; version 2, which is on trial, is half as sure.

    The GPU's decoder refuses batches with a clip of `hard`, any decoder those with a clip of `refused`, and it has
    no decoder for one of `undecodable`; frames of `bad`
    are not sound, all others are displayed at `size`. Of a clip of `costly` the decoder of usual videos gives up, and
    the other one too, where that says so. Each row has a `cost`. `error` fails a batch with the clip `fails`, while
    all others hang; `canary_error` fails the version on trial. `answers` are the versions that answer in turn, in
    place of the ensemble's own; those on trial wait while `held` is cleared.
    """

    def __init__(self) -> None:
        self.rows: list[ClipRow] = []
        self.batches: list[tuple[str, list[bytes]]] = []
        self.horns: set[tuple[bytes, int]] = set()
        self.hard: set[bytes] = set()
        self.refused: set[bytes] = set()
        self.undecodable: set[bytes] = set()
        self.bad: set[tuple[bytes, int]] = set()
        self.damaged: set[tuple[bytes, int]] = set()
        self.costly: dict[bytes, bool] = {}
        self.cost = (0.0, 0.0, 0.0)
        self.size = (240, 320)
        self.fails = b""
        self.error: Exception | None = None
        self.canary_error: Exception | None = None
        self.held = asyncio.Event()
        self.held.set()
        self.answers: Iterator[int] = iter(())
        self.cancelled = 0

    @property
    def asked(self) -> Counter[str]:
        """How many rows each ensemble was asked for."""
        return Counter(ensemble for ensemble, clips in self.batches for _ in clips)

    async def detect(self, ensemble: str, rows: Sequence[ClipRow], timeout_s: float) -> DetectionBatch:
        self.rows += rows
        self.batches.append((ensemble, [row.clip for row in rows]))
        canary = ensemble.endswith("_canary")
        version = next(self.answers, 2 if canary else 1)
        try:
            if canary and self.canary_error:
                raise self.canary_error
            if self.error:
                if any(row.clip == self.fails for row in rows):
                    raise self.error
                await asyncio.Event().wait()
            if canary:
                await self.held.wait()
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if "_software" not in ensemble and any(row.clip in self.hard for row in rows):
            raise DecoderRefused("DALI said no")
        if any(row.clip in self.undecodable for row in rows):
            raise RowRefused("no decoder", unsupported=True)
        if any(row.clip in self.refused for row in rows):
            raise RowRefused("cannot be decoded")
        detections = np.zeros((len(rows), 4, 2, 6), np.float32)
        sound, picture_size = np.ones((len(rows), 4), np.uint8), np.full((len(rows), 4, 2), self.size, np.int32)
        for at, row in enumerate(rows):
            for place, index in enumerate(row.frame_index):
                if (row.clip, index) in self.horns:  # a detector may see something in a grey square, too
                    detections[at, place, 0] = (0.0, 0.0, 1.0, 1.0, 0.75 / version, HORN)
                if (row.clip, index) in self.damaged:
                    sound[at, place] = DAMAGED
                if (row.clip, index) in self.bad:
                    sound[at, place], picture_size[at, place] = 0, 0
        hashes = np.stack([[np.full((K, 32), index % 256, np.uint8) for index in row.frame_index] for row in rows])
        quality = np.full((len(rows), 4, K), 90, np.int32)
        for at, row in enumerate(rows):
            if row.clip in self.costly and (self.costly[row.clip] or "_software" not in ensemble):
                sound[at], picture_size[at] = COSTLY, 0
        cost = np.tile(np.float32([self.cost]), (len(rows), 1))
        return DetectionBatch(detections, sound, picture_size, hashes, quality, cost, version)
