"""Which models a Triton has loaded, and how they are loaded and unloaded."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

__all__ = ["ModelControl", "ModelControlError"]

_RESTRICTED_HEADER = "triton-grpc-protocol-"
_READY_TIMEOUT_S = 2.0
_CONTROL_TIMEOUT_S = 10.0
_LOAD_TIMEOUT_S = 300.0


class ModelControlError(Exception):
    """Triton did not load or unload a model; the text is Triton's own."""


class ModelControl:
    """Loads and unloads models of a Triton that runs with explicit model control.

    `secret` is what the server was told to ask for (`--grpc-restricted-protocol=model-repository:wildgate=<secret>`);
    a server that restricts nothing needs none.

    Observed with tritonserver 2.51: `load` of a model that is loaded keeps its instances answering until the new ones
    are there; a version whose directory has not changed since is not loaded again (its modification time decides), one
    that its config does not name any more goes when its last request is answered; where one version fails, nothing
    changes for the others. Requests under way in an ensemble are answered by the versions they began with, whatever is
    unloaded in the meantime. But an ensemble that is loaded while a version it needs is missing is gone, the old one
    too; and with an ensemble its members are looked at again, so that a config given with `load` does not last.
    """

    def __init__(self, target: str, secret: str | None = None) -> None:
        self._client = InferenceServerClient(target)
        self._headers = {f"{_RESTRICTED_HEADER}wildgate": secret} if secret else None

    async def moved(self, target: str) -> None:
        """Another server has taken the place of the one before, at `target`."""
        before, self._client = self._client, InferenceServerClient(target)
        await before.close()

    async def close(self) -> None:
        """Closes the connection."""
        await self._client.close()

    async def server_ready(self) -> bool:
        """Whether the server answers and all that it was told to load is ready."""
        try:
            return bool(await self._client.is_server_ready(client_timeout=_READY_TIMEOUT_S))
        except InferenceServerException:
            return False

    async def load(self, model: str) -> None:
        """Loads `model`, or loads it again, by the config that lies in the repository. Raises ModelControlError."""
        await self._ask(self._client.load_model(model, headers=self._headers, client_timeout=_LOAD_TIMEOUT_S))

    async def unload(self, model: str) -> None:
        """Unloads `model` once its requests are answered. Raises ModelControlError."""
        await self._ask(self._client.unload_model(model, headers=self._headers, client_timeout=_LOAD_TIMEOUT_S))

    async def loaded(self) -> dict[str, tuple[int, ...]]:
        """The models that are ready, and which of their versions are. Raises ModelControlError."""
        index = await self._ask(
            self._client.get_model_repository_index(headers=self._headers, client_timeout=_CONTROL_TIMEOUT_S)
        )
        found: dict[str, tuple[int, ...]] = {}
        for entry in index.models:
            if entry.state == "READY":
                found[entry.name] = (*found.get(entry.name, ()), int(entry.version))
        return found

    async def _ask(self, call: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await call
        except InferenceServerException as error:
            raise ModelControlError(error.message()) from error
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) and task.cancelling():
                raise
            raise ModelControlError("the server has gone") from None  # `moved` has left it
