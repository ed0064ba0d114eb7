"""Scoring clips through a running server: what is evaluated is what is served, sampling and policy included."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wildgate_client import ScoringClient
from wildgate_perf.local_server import LocalServer, LocalServerOptions

__all__ = ["ServedScorer", "served"]


class ServedScorer:
    """Scores files with the server behind `client`, one after the other on `runner`'s event loop."""

    def __init__(self, client: ScoringClient, runner: asyncio.Runner) -> None:
        self._client = client
        self._runner = runner

    def __call__(self, path: Path) -> set[str]:
        """The labels that call for REVIEW or BLOCK in the video at `path`.

        Raises wildgate_client.ScoringError when the server refuses it.
        """
        verdict = self._runner.run(self._client.score(path))
        return {label.label for label in verdict.labels}


@contextmanager
def served(log_path: Path) -> Iterator[ServedScorer]:
    """A scorer with a server of its own, which runs as long as the context.

    Raises wildgate_perf.local_server.ServerStartFailed, which names the log.
    """
    with LocalServer(LocalServerOptions(log_path)) as server, asyncio.Runner() as runner:
        client = ScoringClient(server.target)
        runner.run(client.__aenter__())
        try:
            yield ServedScorer(client, runner)
        finally:
            runner.run(client.__aexit__(None, None, None))
