"""A real tritonserver that has only the clip decoders, in profile `rtx`."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
from decoded_rows import Row, padded
from tritonclient.grpc import InferInput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from wildgate_server.triton.runtime import find_triton_runtime


@asynccontextmanager
async def decoder_triton(repository: Path, directory: Path, device: str) -> AsyncIterator[InferenceServerClient]:
    """A client of the server; with device "cpu" the decoder's config is changed to run without a GPU."""
    models = directory / "models"
    for model in ("clip_decoder", "clip_decoder_software"):
        shutil.copytree(repository / model, models / model, ignore=shutil.ignore_patterns("__pycache__"))
    if device == "cpu":
        config = models / "clip_decoder" / "configs" / "rtx.pbtxt"
        text = config.read_text()
        changed = text.replace('string_value: "gpu"', 'string_value: "cpu"').replace("KIND_GPU", "KIND_CPU")
        assert changed != text
        config.write_text(changed)
    runtime = find_triton_runtime()
    runtime.assemble_backends(directory / "backends")
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    command = [
        runtime.server,
        f"--model-repository={models}",
        f"--backend-directory={directory / 'backends'}",
        "--model-config-name=rtx",
        "--disable-auto-complete-config",
        f"--grpc-port={port}",
        "--grpc-address=127.0.0.1",
        "--allow-http=false",
        "--allow-metrics=false",
    ]
    log = directory / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=runtime.environment(), stdout=output, stderr=output)
    try:
        async with InferenceServerClient(f"127.0.0.1:{port}") as client:
            while not await _is_ready(client):
                assert process.poll() is None, log.read_text()
                await asyncio.sleep(0.1)
            yield client
    finally:
        process.terminate()
        process.wait(20)


async def _is_ready(client: InferenceServerClient) -> bool:
    try:
        return bool(await client.is_server_ready())
    except InferenceServerException:
        return False


async def ask(client: InferenceServerClient, rows: Sequence[Row], model: str = "clip_decoder") -> np.ndarray:
    """FRAMES [rows, F, S, S, 3] that `model` answers to one request. Raises InferenceServerException."""
    inputs = []
    for name, array in padded(rows).items():
        tensor = InferInput(name, array.shape, "UINT8" if array.dtype == np.uint8 else "INT32")
        tensor.set_data_from_numpy(array)
        inputs.append(tensor)
    return (await client.infer(model, inputs)).as_numpy("FRAMES")
