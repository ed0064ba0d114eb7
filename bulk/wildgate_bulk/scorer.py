"""The workers: each scores batches of the manifest's rows, with a gateway that is there or with one of its own."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from wildgate_bulk.errors import RunStopped
from wildgate_bulk.in_flight import InFlight
from wildgate_bulk.manifest import Columns
from wildgate_bulk.own_gateway import start_gateway
from wildgate_bulk.rows import failure_row, row_schema, verdict_row
from wildgate_client import (
    ClientOptions,
    InvalidRequest,
    Overloaded,
    RetryPolicy,
    ScoringClient,
    ScoringError,
    Scrutiny,
    Unauthenticated,
    Unavailable,
    UnexpectedAnswer,
    Uri,
    Verdict,
    tls_credentials,
)

__all__ = ["BatchScorer", "GatewayOptions"]

_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """How the gateway is reached and asked; without `server`, each worker starts one of its own.

    Videos that take longer than `deadline_s` fail. `in_flight` is the most that one worker has under way. A server that
    is away is waited for, at most for `patience_s`.
    """

    server: str | None
    tls_ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    token_file: Path | None = None
    deadline_s: float = 60.0
    in_flight: int = 64
    patience_s: float = 600.0
    scrutiny: Scrutiny = Scrutiny.NORMAL
    fingerprints: bool = True

    def client_options(self) -> ClientOptions:
        """For a client that leaves retrying to the worker. Raises OSError and ValueError for files of no use."""
        return ClientOptions(
            deadline_s=self.deadline_s,
            retry=RetryPolicy(attempts=1),
            credentials=tls_credentials(self.tls_ca, self.cert, self.key),
            token_file=self.token_file,
        )


class BatchScorer:
    """What Ray Data makes an actor of: a call for each batch, all in the actor's one event loop."""

    def __init__(self, options: GatewayOptions, columns: Columns) -> None:
        self._options, self._columns = options, columns
        self._in_flight = InFlight(options.in_flight)
        self._own, self._target = None, options.server
        if self._target is None:
            self._target, self._own = start_gateway()
        self._client: ScoringClient | None = None
        self._answered_s = 0.0

    async def __call__(self, batch: pa.Table) -> pa.Table:
        """One row for each of the batch. Raises RunStopped for what no further video would change."""
        if self._client is None:  # channels belong to the loop that they are made in
            assert self._target is not None
            self._client = await ScoringClient(self._target, self._options.client_options()).__aenter__()
        keys = batch.select(self._columns.all)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._row(row)) for row in keys.to_pylist()]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return pa.Table.from_pylist([task.result() for task in tasks], schema=row_schema(self._columns.all))

    async def _row(self, keys: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return {**keys, **verdict_row(await self._verdict(keys[self._columns.id], _uri(keys[self._columns.uri])))}
        except ScoringError as error:
            if isinstance(error, Unauthenticated | UnexpectedAnswer) or error.reason == "ACCESS_DENIED":
                # What is wrong with the server or the caller would be wrong with the next video, too.
                raise RunStopped(f"{self._target}: {error}") from error
            return {**keys, **failure_row(error)}

    async def _verdict(self, video_id: str, uri: Uri) -> Verdict:
        """Asks until there is an answer about the video itself; one that alone fails is given up."""
        failures, first_s = 0, 0.0
        while True:
            try:
                async with self._in_flight.place() as began_s:
                    verdict = await self._ask(video_id, uri)
                    self._in_flight.answered()
                    self._answered_s = time.monotonic()
                    return verdict
            except Overloaded as error:
                self._in_flight.refused(began_s)
                pause_s = error.retry_after_s or 0.0
            except Unavailable as error:
                failures, pause_s, now_s = failures + 1, error.retry_after_s or 0.0, time.monotonic()
                first_s = first_s or now_s
                if failures >= _ATTEMPTS and (error.reason == "FETCH_FAILED" or self._answered_s > first_s):
                    raise
                if self._own and self._own.poll() is not None:
                    os._exit(1)  # Ray starts another worker, and gives it what this one had
                if now_s - max(first_s, self._answered_s) > self._options.patience_s:
                    raise RunStopped(f"{self._target} was away for {self._options.patience_s:g} s: {error}") from error
            await asyncio.sleep(pause_s + random.uniform(0, min(_LONGEST_PAUSE_S, _PAUSE_S * 2 ** min(failures, 8))))

    async def _ask(self, video_id: str, uri: Uri) -> Verdict:
        assert self._client is not None
        return await self._client.score(
            uri,
            video_id=video_id,
            scrutiny=self._options.scrutiny,
            explain_blocks=self._options.fingerprints,
        )


def _uri(text: str) -> Uri:
    try:
        return Uri(text)
    except ValueError as error:
        raise InvalidRequest(str(error), code=None, reason="INVALID_REQUEST", field="uri") from None
