"""Which versions of the detector there are, what each of them is, and which of them answer.

`wildlife_detector/<version>/release.yaml` says once and for all what a version is; `rollout.yaml` says which version
serves and which one, if any, is tried on a share of the videos. Both are written by `wildgate-build publish`,
`canary`, `promote` and `rollback`; the server only reads them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from blake3 import blake3
from pydantic import Field, field_validator, model_validator

from wildgate_server.repository.manifest import ManifestError, ModelManifest
from wildgate_server.repository.yaml_document import StrictSection, read_document

__all__ = [
    "DETECTOR",
    "LABEL_PATTERN",
    "NAME_PATTERN",
    "RELEASE_NAME",
    "ROLLOUT_NAME",
    "Canary",
    "ChangingRollout",
    "Origin",
    "Release",
    "ReleaseError",
    "Releases",
    "Rollout",
    "file_digest",
    "load_release",
    "load_releases",
    "load_rollout",
    "verify_files",
    "version_directory",
]

DETECTOR = "wildlife_detector"
"""The Triton model, and so the directory, whose versions are released."""
RELEASE_NAME = "release.yaml"
ROLLOUT_NAME = "rollout.yaml"

NAME_PATTERN = r"[a-z][a-z0-9_.-]*"
"""How a detector may be called."""
LABEL_PATTERN = r"[a-z][a-z0-9_]*"
"""How a policy label may be called."""
_DIGEST = r"^blake3:[0-9a-f]{64}$"

Version = Annotated[int, Field(ge=1)]
Digest = Annotated[str, Field(pattern=_DIGEST)]


class ReleaseError(ManifestError):
    """The rollout or a release cannot be read or breaks a rule; the text names file, field and value."""


class Origin(StrictSection):
    """Where a release came from: the architecture's family, the digest of the imported file, when it was published.

    `published` is a UTC time, ISO 8601; `tool` names what published it, with its version.
    """

    family: str
    source_digest: Digest
    published: str
    tool: str


class Release(StrictSection):
    """What one version of the detector is; its class indices are positions in `labels`.

    `files` are the digests of what the version directory holds, by file name; engines, which are built for one
    machine, are not among them. `metrics` are figures that were measured when it was made, by name.
    """

    name: Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
    version: Version
    precision: Literal["fp32", "fp16", "int8"]
    labels: Annotated[tuple[str, ...], Field(min_length=1, strict=False)]
    frames_per_window: Annotated[int, Field(ge=1)]
    frame_side_px: Annotated[int, Field(ge=1)]
    detections_per_frame: Annotated[int, Field(ge=1)]
    files: Annotated[Mapping[str, Digest], Field(min_length=1)]
    origin: Origin
    metrics: Mapping[str, float] = {}

    @field_validator("labels")
    @classmethod
    def _distinct_identifiers(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        for label in labels:
            if not re.fullmatch(LABEL_PATTERN, label):
                raise ValueError(f"label {label!r} is not lower_snake_case")
            if labels.count(label) > 1:
                raise ValueError(f"label {label!r} appears {labels.count(label)} times")
        return labels

    @property
    def model_version(self) -> str:
        """Name and version as every verdict carries them, such as `reference/1`."""
        return f"{self.name}/{self.version}"


class Canary(StrictSection):
    """A version on trial: it answers for `share` (0 to 1) of the videos."""

    version: Version
    share: Annotated[float, Field(gt=0, le=1)]


class Rollout(StrictSection):
    """Which version serves, which one did before, and which one is on trial."""

    serving: Version
    previous: Version | None = None
    canary: Canary | None = None

    @model_validator(mode="after")
    def _canary_differs(self) -> Rollout:
        if self.canary and self.canary.version == self.serving:
            raise ValueError(f"version {self.serving} cannot serve and be on trial at once")
        return self

    @property
    def versions(self) -> tuple[int, ...]:
        """The versions that answer, the serving one first."""
        return (self.serving, self.canary.version) if self.canary else (self.serving,)

    @property
    def summary(self) -> str:
        """In words, such as `version 2 serves, version 3 on trial on 0.05, version 1 before`."""
        canary = f", version {self.canary.version} on trial on {self.canary.share:.3g}" if self.canary else ""
        previous = f", version {self.previous} before" if self.previous else ""
        return f"version {self.serving} serves{canary}{previous}"


class ChangingRollout(Rollout):
    """A rollout that is being brought into force, beside the versions that still answer.

    Configs rendered from it ask the new versions, load those that are `leaving` too, and keep the ensembles of the
    version on trial for as long as they may be asked: until then it may be the version that serves.
    """

    leaving: tuple[Version, ...] = ()

    @classmethod
    def to(cls, rollout: Rollout, in_force: Rollout | None, loaded: Iterable[int] = ()) -> ChangingRollout:
        """The way to `rollout` from what is `in_force`, with those versions `loaded`."""
        leaving = {*loaded, *(in_force.versions if in_force else ())}
        canary = rollout.canary or (in_force.canary if in_force else None)
        return cls(serving=rollout.serving, previous=rollout.previous, canary=canary, leaving=tuple(sorted(leaving)))

    @model_validator(mode="after")
    def _canary_differs(self) -> ChangingRollout:
        return self

    @property
    def versions(self) -> tuple[int, ...]:
        """What is loaded: the versions that answer from now on, and those that did."""
        return tuple(dict.fromkeys((*super().versions, *self.leaving)))


@dataclass(frozen=True)
class Releases:
    """The rollout, and the release of every version that it lets answer."""

    rollout: Rollout
    by_version: Mapping[int, Release]

    @property
    def serving(self) -> Release:
        """The release that serves."""
        return self.by_version[self.rollout.serving]

    def without_canary(self) -> Releases:
        """The same, with nothing on trial."""
        serving = self.rollout.serving
        return Releases(self.rollout.model_copy(update={"canary": None}), {serving: self.by_version[serving]})


def version_directory(repository: Path, version: int) -> Path:
    """Where `version` of the detector lies."""
    return repository / DETECTOR / str(version)


def load_rollout(repository: Path) -> Rollout:
    """Reads which versions of `repository` answer. Raises ReleaseError."""
    return read_document(repository / ROLLOUT_NAME, Rollout, ReleaseError)


def load_release(repository: Path, version: int, manifest: ModelManifest) -> Release:
    """Reads what `version` is.

    Raises ReleaseError when it cannot be read, says another version, or has other shapes than the manifest.
    """
    file = version_directory(repository, version) / RELEASE_NAME
    release = read_document(file, Release, ReleaseError)
    if release.version != version:
        raise ReleaseError(f"{file}: version: says {release.version}, the directory {version}")
    for shape in ("frames_per_window", "frame_side_px", "detections_per_frame"):
        found, wanted = getattr(release, shape), getattr(manifest, shape)
        if found != wanted:
            raise ReleaseError(f"{file}: {shape}: is {found}, the manifest says {wanted}")
    return release


def load_releases(repository: Path, manifest: ModelManifest) -> Releases:
    """Reads the rollout of `repository` and the releases it lets answer. Raises ReleaseError."""
    rollout = load_rollout(repository)
    return Releases(rollout, {version: load_release(repository, version, manifest) for version in rollout.versions})


def file_digest(file: Path) -> str:
    """The file's BLAKE3 digest, as `blake3:<hex>`. Raises OSError."""
    return f"blake3:{blake3().update_mmap(file).hexdigest()}"


def verify_files(repository: Path, release: Release) -> None:
    """Compares the files of a release with its digests; reads every byte of them.

    Raises ReleaseError naming the first file that is missing or differs.
    """
    directory = version_directory(repository, release.version)
    for name, wanted in release.files.items():
        file = directory / name
        try:
            found = file_digest(file)
        except OSError as error:
            raise ReleaseError(f"{file}: cannot be read: {error}") from error
        if found != wanted:
            raise ReleaseError(f"{file}: is {found}, {RELEASE_NAME} says {wanted}: not the file that was published")
