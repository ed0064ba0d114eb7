"""Repositories to publish into, detectors to publish, and file systems that fail or end at a chosen step."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import onnx
import yaml
from checkout import ROOT
from google.protobuf import text_format
from onnx import parser
from tritonclient.grpc.model_config_pb2 import ModelConfig

from wildgate_build.durable_files import DurableFiles
from wildgate_build.errors import OutputError
from wildgate_build.publish.publishing import Publication, publish
from wildgate_build.publish.repository import Repository
from wildgate_build.standard_file import Properties, StandardFile, file_digest, write_properties
from wildgate_server.policy import Policy, load_policy
from wildgate_server.repository.manifest import load_manifest
from wildgate_server.repository.model_configs import write_configs
from wildgate_server.repository.releases import Rollout, load_releases, verify_files

SHIPPED = ROOT / "model_repository"
LABELS = ("live_bear", "rhino_horn")
POLICY = load_policy()


def standard_file(file: Path, **changes: object) -> Path:
    """Writes the smallest standard detector file: it sees nothing. `changes` are those of `_graph`."""
    file.write_bytes(_graph(**changes))
    return file


@cache
def _graph(
    shapes: tuple[int, int, int] = (8, 320, 16),
    name: str = "mine",
    labels: tuple[str, ...] = LABELS,
    source_digest: str = f"blake3:{7:064x}",
    precision: str = "fp32",
) -> bytes:
    frames, side, detections = shapes
    model = parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        nothing (uint8[b,{frames},{side},{side},3] FRAMES) => (float[b,{frames},{detections},6] DETECTIONS)
        <float none = {{0.0}}, int64[1] last = {{3}}, int64[4] grown = {{1, 1, {detections}, 6}}>
        {{
            values = Cast <to = 1> (FRAMES)
            mean = ReduceMean <axes = [3, 4], keepdims = 0> (values)
            one = ReduceMean <axes = [2], keepdims = 1> (mean)
            two = Unsqueeze (one, last)
            nought = Mul (two, none)
            DETECTIONS = Expand (nought, grown)
        }}""")
    write_properties(model, Properties(name, labels, "rule", source_digest, precision))
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def make_repository(directory: Path, *versions: int) -> Repository:
    """The shipped repository, of whose detector these `versions` were published; the first one serves."""
    ignored = shutil.ignore_patterns("__pycache__", "wildlife_detector", "video_scorer*")
    target = Path(shutil.copytree(SHIPPED, directory / "models", ignore=ignored))
    for version in versions:
        home = target / "wildlife_detector" / str(version)
        home.mkdir(parents=True)
        standard_file(home / "model.onnx", name=f"number_{version}")
        shutil.copy(SHIPPED / "wildlife_detector" / "1" / "model.py", home)
        release = {
            "name": f"number_{version}",
            "version": version,
            "precision": "fp32",
            "labels": list(LABELS),
            "frames_per_window": 8,
            "frame_side_px": 320,
            "detections_per_frame": 16,
            "files": {"model.onnx": file_digest(home / "model.onnx")},
            "origin": {
                "family": "rule",
                "source_digest": f"blake3:{version:064x}",
                "published": "2026-01-01T00:00:00Z",
                "tool": "tests",
            },
        }
        (home / "release.yaml").write_text(yaml.safe_dump(release))
    (target / "rollout.yaml").write_text(yaml.safe_dump({"serving": versions[0]}))
    write_configs(load_manifest(target), Rollout(serving=versions[0]), target)
    return Repository(target, QuickFiles())


def publication(file: Path, policy: Policy = POLICY, **options: object) -> Publication:
    """The file as it is to be published, with the code of version 1."""
    return Publication(StandardFile.read(file), policy, code_from=1, **options)


def publish_file(repository: Repository, file: Path, **options: object) -> int:
    """Publishes it; its version."""
    return publish(repository, publication(file, **options)).version


class Killed(BaseException):
    """The process is gone: nothing of it runs any more, no cleaning up either."""


class QuickFiles(DurableFiles):
    """Does not wait for the disk."""

    def write(self, file: Path, content: bytes) -> None:
        file.write_bytes(content)

    def copy(self, source: Path, file: Path) -> None:
        shutil.copyfile(source, file)

    def sync(self, directory: Path) -> None:
        pass


class EndingFiles(QuickFiles):
    """Ends at the operation number `last`, in its middle if it has one: the process is killed, or the disk is full."""

    def __init__(self, last: int, *, full_disk: bool) -> None:
        self._left = last
        self._full_disk = full_disk
        self.ended = False

    def make_directory(self, directory: Path) -> None:
        self._step(lambda: None, takes_space=True)
        super().make_directory(directory)

    def write(self, file: Path, content: bytes) -> None:
        self._step(lambda: file.write_bytes(content[: len(content) // 2]), takes_space=True)
        super().write(file, content)

    def copy(self, source: Path, file: Path) -> None:
        self._step(lambda: file.write_bytes(source.read_bytes()[:100]), takes_space=True)
        super().copy(source, file)

    def replace(self, source: Path, target: Path) -> None:
        self._step(lambda: None)
        super().replace(source, target)

    def remove(self, path: Path) -> None:
        self._step(lambda: None)
        super().remove(path)

    def _step(self, half: Callable[[], object], *, takes_space: bool = False) -> None:
        if self.ended and not self._full_disk:
            raise Killed
        if self._full_disk and not takes_space:
            return
        if self._left == 0:
            self.ended = True
            half()
            if self._full_disk:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), None)
            raise Killed
        self._left -= 1


def failure(call: Callable[[], object]) -> OutputError | None:
    """The OutputError that a call raises; None if it comes through."""
    try:
        call()
    except OutputError as error:
        return error
    return None


def contents(repository: Repository) -> dict[str, bytes]:
    """Every file and its bytes."""
    return {
        str(file.relative_to(repository.path)): file.read_bytes()
        for file in repository.path.rglob("*")
        if file.is_file()
    }


def check_it_loads(repository: Repository) -> Rollout:
    """What a Triton and a gateway need of a repository at any moment; the rollout in it.

    Triton takes each directory for a model, and wants what its config asks for.
    """
    manifest = load_manifest(repository.path)
    releases = load_releases(repository.path, manifest)
    for release in releases.by_version.values():
        verify_files(repository.path, release)
    models = {}
    for directory in repository.path.iterdir():
        if directory.is_dir():
            models[directory.name] = _config((directory / "config.pbtxt").read_text())
    detectors = list(models["wildlife_detector"].version_policy.specific.versions)
    assert "video_scorer" in models
    for name, config in models.items():
        versions = list(config.version_policy.specific.versions) or [1]
        for version in versions:
            assert (repository.path / name / str(version)).is_dir()
        if config.platform == "ensemble":
            asked = {step.model_name: step.model_version for step in config.ensemble_scheduling.step}
            assert asked["wildlife_detector"] in detectors
            assert asked["wildlife_detector"] == versions[0]
    return releases.rollout


@cache
def _config(text: str) -> ModelConfig:
    return text_format.Parse(text, ModelConfig())
