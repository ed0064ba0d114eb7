"""A model repository as those commands see it that write it."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from wildgate_build.publish.errors import (
    LabelsUnknown,
    RepositoryBroken,
    RepositoryBusy,
    VersionUnknown,
    WriteFailed,
)
from wildgate_build.publish.file_operations import FileOperations
from wildgate_server.policy import Policy, PolicyError, load_policy
from wildgate_server.repository.manifest import ManifestError, ModelManifest, load_manifest
from wildgate_server.repository.releases import DETECTOR, Release, Rollout, load_release, load_rollout, verify_files

__all__ = ["Repository", "check_labels", "read_policy"]

_UNFINISHED = ".unfinished-"


@dataclass(frozen=True)
class Repository:
    """The model repository at `path`; what writes it goes through `files`."""

    path: Path
    files: FileOperations = field(default_factory=FileOperations)

    @property
    def manifest(self) -> ModelManifest:
        """Its shapes. Raises RepositoryBroken."""
        try:
            return load_manifest(self.path)
        except ManifestError as error:
            raise RepositoryBroken(str(error)) from error

    @property
    def rollout(self) -> Rollout:
        """Which versions answer. Raises RepositoryBroken."""
        try:
            return load_rollout(self.path)
        except ManifestError as error:
            raise RepositoryBroken(str(error)) from error

    @property
    def versions(self) -> list[int]:
        """The versions that were published, in order."""
        directory = self.path / DETECTOR
        try:
            return sorted(int(path.name) for path in directory.iterdir() if path.name.isdecimal() and path.is_dir())
        except OSError as error:
            raise RepositoryBroken(f"{directory}: cannot be read: {error.strerror}") from error

    def release(self, version: int) -> Release:
        """What `version` is. Raises VersionUnknown and RepositoryBroken."""
        if version not in self.versions:
            there = ", ".join(map(str, self.versions)) or "none"
            raise VersionUnknown(f"{self.path} has no version {version} of the detector; there is {there}")
        try:
            return load_release(self.path, version, self.manifest)
        except ManifestError as error:
            raise RepositoryBroken(str(error)) from error

    def verified_release(self, version: int) -> Release:
        """The same, its files compared with their digests. Raises VersionUnknown and RepositoryBroken."""
        release = self.release(version)
        try:
            verify_files(self.path, release)
        except ManifestError as error:
            raise RepositoryBroken(str(error)) from error
        return release

    @contextmanager
    def unfinished(self) -> Iterator[Path]:
        """A new directory for what is not to be seen yet, on the same file system; gone with the context.

        It lies in a model's directory, where Triton looks at numbers alone. One that an interruption left behind is
        removed by the next call.
        """
        for left_over in (self.path / DETECTOR).glob(f"{_UNFINISHED}*"):
            self.files.remove(left_over)
        directory = self.path / DETECTOR / f"{_UNFINISHED}{secrets.token_hex(8)}"
        self.files.make_directory(directory)
        try:
            yield directory
        finally:
            self.files.remove(directory)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else writes meanwhile. The lock is the process's own and goes with it, however it ends.

        Raises RepositoryBusy when another command holds it, WriteFailed for an OSError within.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise RepositoryBroken(f"{self.path}: cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise RepositoryBusy(f"{self.path}: another command is writing it; try again when it is done") from None
        try:
            yield
        except OSError as error:
            raise WriteFailed(f"{error.filename or self.path}: cannot be written: {error.strerror or error}") from error
        finally:
            os.close(descriptor)


def read_policy(file: Path) -> Policy:
    """The policy in `file`. Raises RepositoryBroken."""
    try:
        return load_policy(file)
    except PolicyError as error:
        raise RepositoryBroken(str(error)) from error


def check_labels(labels: tuple[str, ...], policy: Policy, what: str) -> None:
    """Raises LabelsUnknown naming those `labels` of `what` that the policy has no rule for."""
    if missing := policy.missing(labels):
        raise LabelsUnknown(
            f"the policy (version {policy.version}) has no rule for {', '.join(missing)}, which {what} may report; "
            "write rules for them and name that file with --policy"
        )
