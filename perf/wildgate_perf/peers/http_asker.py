"""Asks a peer over HTTP: the video's bytes are the body of a POST, nothing around them."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from wildgate_perf.peers.detector import Answer
from wildgate_perf.peers.peer_setup import PeerFailed

__all__ = ["HttpAsker"]


class HttpAsker:
    """Posts to `http://ADDRESS/PATH` on connections that are kept."""

    def __init__(self, address: str, path: str = "/score", content_type: str = "application/octet-stream") -> None:
        self._url = f"http://{address}{path}"
        self._headers = {"Content-Type": content_type}

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=60), headers=self._headers
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    def question(self, video: Path) -> bytes:
        """The file's bytes."""
        return video.read_bytes()

    async def ask(self, question: bytes) -> Answer:
        """The JSON of the answer. Raises PeerFailed with the status and the text of any other answer."""
        try:
            async with self._session.post(self._url, data=question) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise PeerFailed(f"{type(error).__name__}: {error}") from error
        if response.status != 200:
            raise PeerFailed(f"HTTP {response.status}: {body[:300].decode(errors='replace')}")
        answer: Answer = json.loads(body)
        return answer
