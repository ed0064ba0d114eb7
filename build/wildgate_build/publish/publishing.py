"""A standard detector file becomes a version of the repository.

All of the version is written into a directory that nothing looks at, and reaches the disk, before one rename gives it
its number. An interruption before that leaves the directory behind; the next publishing removes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import yaml
from pydantic import ValidationError

from wildgate_build.errors import PublishError
from wildgate_build.publish.repository import Repository, check_labels
from wildgate_build.standard_file import StandardFile, file_digest
from wildgate_server.policy import Policy
from wildgate_server.repository.engine_key import ENGINE_SOURCE
from wildgate_server.repository.releases import RELEASE_NAME, Release, version_directory
from wildgate_server.repository.yaml_document import faults

__all__ = ["Publication", "publish"]

_GRAPH = "model.onnx"


@dataclass(frozen=True)
class Publication:
    """What is to be published, the policy it will be judged by, and figures to record.

    `source` is what the `cpu` profile runs, and what engines are built from unless `for_engines` names another file of
    the same detector. Without `version` it gets the next free number. `code_from` is the version whose model files
    (`*.py`), which run the graph in Triton, go along: a version stays as it is, whatever changes in later ones.
    """

    source: StandardFile
    policy: Policy
    code_from: int
    for_engines: StandardFile | None = None
    version: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


def publish(repository: Repository, publication: Publication) -> Release:
    """Makes the new version available; it answers nothing until it is promoted or tried.

    Raises PublishError and OutputError; then nothing has changed.
    """
    source = publication.source
    _check_shapes(repository, source)
    _check_same_detector(source, publication.for_engines)
    check_labels(source.properties.labels, publication.policy, str(source.path))
    with repository.locked(), repository.unfinished() as unfinished:
        taken = repository.versions
        version = publication.version or max(taken, default=0) + 1
        if version in taken:
            raise PublishError(f"{repository.path} has a version {version} already; versions are never overwritten")
        directory = unfinished / str(version)
        release = _write(repository, publication, version, directory)
        repository.files.replace(directory, version_directory(repository.path, version))
    return release


def _check_shapes(repository: Repository, source: StandardFile) -> None:
    manifest = repository.manifest
    shapes = {
        "frames_per_window (F)": (source.frames, manifest.frames_per_window),
        "frame_side_px (S)": (source.side, manifest.frame_side_px),
        "detections_per_frame (K)": (source.detections, manifest.detections_per_frame),
    }
    different = [f"{name} is {found}, not {wanted}" for name, (found, wanted) in shapes.items() if found != wanted]
    if different:
        raise PublishError(
            f"{source.path} does not fit {repository.path}: {'; '.join(different)}. All versions in a repository have "
            "the shapes of its manifest.yaml: import the detector with these, or start a second repository"
        )


def _check_same_detector(source: StandardFile, for_engines: StandardFile | None) -> None:
    if for_engines is None:
        return
    one, other = (
        {**vars(file.properties), "F": file.frames, "S": file.side, "K": file.detections}
        for file in (source, for_engines)
    )
    compared = [name for name in one if name != "precision"]
    different = [f"{name} is {other[name]}, not {one[name]}" for name in compared if one[name] != other[name]]
    if different:
        raise PublishError(f"{for_engines.path} is another detector than {source.path}: {'; '.join(different)}")


def _write(repository: Repository, publication: Publication, version: int, directory: Path) -> Release:
    files, source = repository.files, publication.source
    files.make_directory(directory)
    code = sorted(version_directory(repository.path, publication.code_from).glob("*.py"))
    if not code:
        raise PublishError(f"version {publication.code_from} in {repository.path} has no model.py to go along")
    graphs = {_GRAPH: source} | ({ENGINE_SOURCE: publication.for_engines} if publication.for_engines else {})
    for name, graph in graphs.items():
        files.copy(graph.path, directory / name)
    for original in code:
        files.copy(original, directory / original.name)
    digests = {file.name: file_digest(file) for file in sorted(directory.iterdir())}
    for name, graph in graphs.items():
        if digests[name] != graph.digest:
            raise PublishError(f"{graph.path}: changed while it was published")
    release = _release(publication, version, digests)
    text = yaml.safe_dump(release.model_dump(mode="json"), sort_keys=False)
    files.write(directory / RELEASE_NAME, text.encode())
    files.sync(directory)
    return release


def _release(publication: Publication, version: int, digests: Mapping[str, str]) -> Release:
    source = publication.source
    properties = source.properties
    try:
        return Release.model_validate(
            {
                "name": properties.name,
                "version": version,
                "precision": properties.precision,
                "labels": properties.labels,
                "frames_per_window": source.frames,
                "frame_side_px": source.side,
                "detections_per_frame": source.detections,
                "files": digests,
                "origin": {
                    "family": properties.family,
                    "source_digest": properties.source_digest,
                    "published": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "tool": f"wildgate-build {_tool_version()}",
                },
                "metrics": dict(publication.metrics),
            }
        )
    except ValidationError as error:
        raise PublishError("\n".join(f"{source.path}: {fault}" for fault in faults(error))) from error


def _tool_version() -> str:
    try:
        return metadata.version("wildgate")
    except metadata.PackageNotFoundError:
        return "(not installed)"
