"""Whether releases can answer here: their files are those that were published, and policy and machine fit them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from wildgate_server.policy import Policy, PolicyError
from wildgate_server.repository.engine_key import check_repository_engines
from wildgate_server.repository.machine import probe_machine
from wildgate_server.repository.manifest import ModelManifest
from wildgate_server.repository.model_configs import CPU_PROFILE
from wildgate_server.repository.releases import Releases, load_release, load_rollout, verify_files
from wildgate_server.triton.backend_settings import BackendSettings

__all__ = ["check_labels", "check_releases", "load_serving_release"]


def load_serving_release(model_repository: Path, manifest: ModelManifest) -> Releases:
    """The release that serves, its files verified. Raises ReleaseError.

    A version on trial is left to the rollout's follower: one that cannot answer must not keep what serves from
    starting.
    """
    rollout = load_rollout(model_repository).model_copy(update={"canary": None})
    release = load_release(model_repository, rollout.serving, manifest)
    verify_files(model_repository, release)
    return Releases(rollout, {rollout.serving: release})


def check_releases(releases: Releases, backend: BackendSettings, policy: Policy, policy_file: Path) -> None:
    """Raises PolicyError or EngineDoesNotFit for releases that cannot answer here; it reads whole engines."""
    labels = {release.model_version: release.labels for release in releases.by_version.values()}
    check_labels(policy, policy_file, labels)
    if backend.target is None and backend.profile != CPU_PROFILE:
        versions = releases.rollout.versions
        check_repository_engines(backend.model_repository, backend.profile, versions, probe_machine())


def check_labels(policy: Policy, file: Path, labels: Mapping[str, Sequence[str]]) -> None:
    """Raises PolicyError for a label that the policy has no rule for; `labels` are those of each model version."""
    for model_version, known in labels.items():
        if missing := policy.missing(known):
            raise PolicyError(f"{file}: labels: no rule for {', '.join(missing)}, which {model_version} knows")
