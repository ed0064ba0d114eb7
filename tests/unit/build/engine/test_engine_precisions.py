"""The shipped detector in every precision as a TensorRT-RTX engine, built without a GPU.

Prints and records size, key and build time of each; deserialising takes a GPU (`tests/gpu`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto

from wildgate_build.engine.builder import BuiltEngine, EnginePlan, build_engine
from wildgate_build.errors import EngineError
from wildgate_build.precision.body import NetworkBody
from wildgate_build.precision.half import halved
from wildgate_build.precision.int8 import Dialect, Method, Quantiser
from wildgate_build.standard_file import StandardFile, file_digest, write_properties
from wildgate_server.repository.engine_key import engine_digest
from wildgate_server.repository.machine import Machine, probe_machine
from wildgate_server.repository.manifest import ModelManifest, load_manifest


def fp32(body: NetworkBody) -> ModelProto:
    return body.whole


def fp16(body: NetworkBody) -> ModelProto:
    return body.replaced(halved(body.extract()), "fp16_")


def int8(body: NetworkBody, dialect: Dialect = Dialect.TENSORRT) -> ModelProto:
    quantiser = Quantiser(body.extract(), dialect, Method.MINMAX)
    front = onnxruntime.InferenceSession(body.front().SerializeToString(), providers=["CPUExecutionProvider"])
    frames = np.random.default_rng(0).integers(0, 256, (1, 8, 320, 320, 3), np.uint8)
    names = list(body.inputs)
    quantiser.calibrate([dict(zip(names, front.run(names, {"FRAMES": frames}), strict=True))])
    return body.replaced(quantiser.quantised(), "int8_")


@pytest.fixture(scope="module")
def manifest(model_repository: Path) -> ModelManifest:
    return load_manifest(model_repository)


@pytest.fixture(scope="module")
def files(model_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The shipped detector, by precision."""
    shipped = StandardFile.read(model_repository / "wildlife_detector" / "1" / "engine.onnx")
    body = NetworkBody.of(onnx.load(shipped.path))
    made = {}
    for convert in (fp32, fp16, int8):
        model = convert(body)
        write_properties(model, replace(shipped.properties, precision=convert.__name__))
        made[convert.__name__] = tmp_path_factory.mktemp(convert.__name__) / "detector.onnx"
        onnx.save(model, made[convert.__name__])
    return made


@pytest.fixture(scope="module")
def engines(
    files: dict[str, Path], manifest: ModelManifest, tensorrt_rtx: object, record_testsuite_property: object
) -> dict[str, BuiltEngine]:
    batch = manifest.serving.max_batch_size
    built = {name: build_engine(EnginePlan(file, "rtx", batch), Machine(None, None)) for name, file in files.items()}
    for name, engine in built.items():
        record_testsuite_property(f"engine {name}", f"{engine.seconds:.2f} s: {engine.key.model_dump_json()}")
        onnx_bytes, engine_bytes = files[name].stat().st_size, len(engine.engine)
        print(f"{name}: {onnx_bytes} bytes of ONNX, {engine_bytes} of engine, {engine.seconds:.1f} s")
    return built


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_key_says_what_was_built(
    files: dict[str, Path],
    engines: dict[str, BuiltEngine],
    manifest: ModelManifest,
    tensorrt_rtx: object,
    precision: str,
) -> None:
    key, content = engines[precision].key, engines[precision].engine
    assert key.onnx_digest == file_digest(files[precision])
    assert (key.target, key.tensorrt_version, key.architectures) == ("rtx", tensorrt_rtx.__version__, ("8.0+",))
    assert (key.precision, key.min_batch) == (precision, 1)
    assert key.opt_batch == key.max_batch == manifest.serving.max_batch_size
    assert key.frames == manifest.frames_per_window
    assert key.side == manifest.frame_side_px
    assert key.detections == manifest.detections_per_frame
    assert (key.engine_digest, key.engine_bytes) == (engine_digest(content), len(content))


def test_the_machine_tells_the_version_that_the_key_holds(engines: dict[str, BuiltEngine]) -> None:
    # One is read from the installed package, without loading the library, the other from the library.
    assert probe_machine().tensorrt["rtx"] == engines["fp32"].key.tensorrt_version


def test_an_int8_file_for_cpus_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    shipped = StandardFile.read(files["fp32"])
    model = int8(NetworkBody.of(onnx.load(shipped.path)), Dialect.CPU)
    write_properties(model, replace(shipped.properties, precision="int8"))
    file = tmp_path / "for-cpus.onnx"
    onnx.save(model, file)
    with pytest.raises(EngineError, match="quantise --runtime tensorrt"):
        build_engine(EnginePlan(file, "rtx", 1), Machine(None, None))
