"""A model repository as seen by the commands that write it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import TypeVar

from wildgate_build.durable_files import DurableFiles
from wildgate_build.errors import OutputError, PublishError
from wildgate_server.policy import Policy, PolicyError, load_policy
from wildgate_server.repository.lock import LockRefused, locked
from wildgate_server.repository.manifest import ManifestError, ModelManifest, load_manifest
from wildgate_server.repository.releases import DETECTOR, Release, Rollout, load_release, load_rollout, verify_files

__all__ = ["Repository", "check_labels", "read_policy"]

_UNFINISHED = ".unfinished-"

Read = TypeVar("Read")


@dataclass(frozen=True)
class Repository:
    """The model repository at `path`; what writes it goes through `files`. Raises PublishError where it is broken."""

    path: Path
    files: DurableFiles = field(default_factory=DurableFiles)

    @property
    def manifest(self) -> ModelManifest:
        """Its shapes."""
        return _read(partial(load_manifest, self.path))

    @property
    def rollout(self) -> Rollout:
        """Which versions answer."""
        return _read(partial(load_rollout, self.path))

    @property
    def versions(self) -> list[int]:
        """The versions that were published, in order."""
        directory = self.path / DETECTOR
        try:
            return sorted(int(path.name) for path in directory.iterdir() if path.name.isdecimal() and path.is_dir())
        except OSError as error:
            raise PublishError(f"{directory}: cannot be read: {error.strerror}") from error

    def release(self, version: int) -> Release:
        """What `version` is. Raises PublishError where there is no such version, too."""
        if version not in self.versions:
            there = ", ".join(map(str, self.versions)) or "none"
            raise PublishError(f"{self.path} has no version {version} of the detector; there is {there}")
        return _read(partial(load_release, self.path, version, self.manifest))

    def verified_release(self, version: int) -> Release:
        """The same, its files compared with their digests."""
        release = self.release(version)
        _read(partial(verify_files, self.path, release))
        return release

    @contextmanager
    def unfinished(self) -> Iterator[Path]:
        """A new directory for unfinished files, on the same file system; removed with the context.

        It lies in a model's directory, where Triton looks at numbers alone. One that an interruption left behind is
        removed by the next call.
        """
        for left_over in (self.path / DETECTOR).glob(f"{_UNFINISHED}*"):
            self.files.remove(left_over)
        directory = self.path / DETECTOR / f"{_UNFINISHED}{token_hex(8)}"
        self.files.make_directory(directory)
        try:
            yield directory
        finally:
            self.files.remove(directory)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other commands from writing meanwhile.

        Raises PublishError when another command does, OutputError for an OSError within.
        """
        try:
            with locked(self.path):
                yield
        except LockRefused as error:
            raise PublishError(str(error)) from error
        except OSError as error:
            raise OutputError(f"{error.filename or self.path}: cannot be written: {error.strerror or error}") from error


def read_policy(file: Path) -> Policy:
    """The policy in `file`. Raises PublishError."""
    return _read(partial(load_policy, file))


def check_labels(labels: tuple[str, ...], policy: Policy, what: str) -> None:
    """Raises PublishError naming those `labels` of `what` that the policy has no rule for."""
    if missing := policy.missing(labels):
        raise PublishError(
            f"the policy (version {policy.version}) has no rule for {', '.join(missing)}, which {what} may report; "
            "write rules for them and name that file with --policy"
        )


def _read(load: Callable[[], Read]) -> Read:
    try:
        return load()
    except (ManifestError, PolicyError) as error:
        raise PublishError(str(error)) from error
