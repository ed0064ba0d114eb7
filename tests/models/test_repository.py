"""The model repository as a stock tritonserver sees it: it loads as committed, and it refuses what disagrees."""

from __future__ import annotations

import http.client
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wildgate_server.triton.backend_settings import BackendSettings
from wildgate_server.triton.embedded import EmbeddedTriton, TritonStartError
from wildgate_server.triton.runtime import find_triton_runtime

pytestmark = pytest.mark.triton

MODELS = ["clip_decoder", "clip_decoder_software", "video_scorer", "video_scorer_software", "wildlife_detector"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


@contextmanager
def stock_triton(
    repository: Path, directory: Path, *options: str
) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    """A tritonserver with nothing but the repository, its own defaults and `options`: process, HTTP port, log."""
    runtime = find_triton_runtime()
    runtime.assemble_backends(directory / "backends")
    port, log = free_port(), directory / "log"
    command = [
        runtime.server,
        f"--model-repository={repository}",
        f"--backend-directory={directory / 'backends'}",
        f"--http-port={port}",
        "--http-address=127.0.0.1",
        "--allow-grpc=false",
        "--allow-metrics=false",
        *options,
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=runtime.environment(), stdout=output, stderr=output)
    try:
        yield process, port, log
    finally:
        process.terminate()
        process.wait(20)


def is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def refusal(repository: Path, directory: Path, model: str) -> str:
    """What a stock tritonserver logs as it ends on a `model` that does not load, or of which a member does not."""
    with stock_triton(repository, directory, "--model-control-mode=explicit", f"--load-model={model}") as (
        process,
        _,
        log,
    ):
        assert process.wait(60) != 0
        return log.read_text()


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_the_committed_repository_loads_in_a_stock_tritonserver(own_models: Path, tmp_path: Path) -> None:
    (own_models / "wildlife_detector" / ".unfinished-7" / "2").mkdir(parents=True)  # an interrupted publishing
    with stock_triton(own_models, tmp_path) as (process, port, log):
        while not is_ready(port):
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        loaded = [model for model in MODELS if f"successfully loaded '{model}'" in log.read_text()]
    assert loaded == MODELS


@pytest.mark.parametrize(
    ("config", "old", "new", "model", "told"),
    [
        (
            *("wildlife_detector", "[ 8, 16, 6 ]", "[ 8, 10, 6 ]", "wildlife_detector"),
            "ValueError: model.onnx: DETECTIONS is [8, 16, 6], config.pbtxt says [8, 10, 6]",
        ),
        (
            *("clip_decoder", "[ 8, 320, 320, 3 ]", "[ 8, 256, 256, 3 ]", "video_scorer"),
            "in ensemble video_scorer, ensemble tensor FRAMES: inconsistent shape: [-1,8,256,256,3] is inferred "
            "from model clip_decoder while [-1,8,320,320,3] is inferred from model wildlife_detector",
        ),
        (
            *(
                "video_scorer",
                '"DETECTIONS"\n    data_type: TYPE_FP32',
                '"DETECTIONS"\n    data_type: TYPE_FP16',
                "video_scorer",
            ),
            "in ensemble video_scorer, ensemble tensor DETECTIONS: inconsistent data type: TYPE_FP16 is inferred "
            "from model video_scorer while TYPE_FP32 is inferred from model wildlife_detector",
        ),
        ("clip_decoder", '"letterbox_value"', '"letterbox"', "clip_decoder", "KeyError: 'letterbox_value'"),
    ],
    ids=["detector and graph", "decoder and detector", "ensemble and members", "no letterbox value"],
)
def test_a_config_that_disagrees_is_refused(
    own_models: Path, tmp_path: Path, config: str, old: str, new: str, model: str, told: str
) -> None:
    edit(own_models / config / "config.pbtxt", old, new)
    assert told in refusal(own_models, tmp_path, model)


async def test_a_manifest_that_disagrees_with_the_graph(own_models: Path, tmp_path: Path) -> None:
    edit(own_models / "manifest.yaml", "frame_side_px: 320", "frame_side_px: 256")
    config = BackendSettings(model_repository=own_models, log_dir=tmp_path / "state", instances=1)
    with pytest.raises(TritonStartError) as caught:
        async with EmbeddedTriton(config):
            pass
    assert "model.onnx: FRAMES is [8, 320, 320, 3], config.pbtxt says [8, 256, 256, 3]" in str(caught.value)
