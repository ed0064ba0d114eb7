"""What `wildgate-build releases` shows: every published version, and how a trial goes."""

import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from wildgate_build.errors import PublishError
from wildgate_build.publish.repository import Repository
from wildgate_server.repository.releases import Release, Rollout

__all__ = ["PublishedVersion", "TrialCount", "published_versions", "trial_counts"]

_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class PublishedVersion:
    """One version: its release, or what is wrong with it."""

    version: int
    state: str
    release: Release | None
    fault: str = ""


@dataclass(frozen=True)
class TrialCount:
    """How many videos got these actions from the serving version and from the one on trial."""

    serving: str
    canary: str
    serving_action: str
    canary_action: str
    videos: int


def published_versions(repository: Repository) -> Iterator[PublishedVersion]:
    """Every version in order, its files compared with their digests. Raises PublishError."""
    rollout = repository.rollout
    for version in repository.versions:
        state = _state(version, rollout)
        release = None
        try:
            release = repository.release(version)
            repository.verified_release(version)
        except PublishError as error:
            yield PublishedVersion(version, state, release, str(error))
        else:
            yield PublishedVersion(version, state, release)


def _state(version: int, rollout: Rollout) -> str:
    if version == rollout.serving:
        return "serving"
    if rollout.canary and version == rollout.canary.version:
        return f"canary {rollout.canary.share:.3g}"
    return "previous" if version == rollout.previous else ""


def trial_counts(address: str) -> list[TrialCount]:
    """The counts of a gateway whose metrics are at `address`. Raises PublishError."""
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
    except (OSError, ValueError) as error:
        raise PublishError(f"{address}: cannot be read as metrics: {error}") from error
    samples = [sample for family in families for sample in family.samples]
    if not any(sample.name.startswith("wildgate_") for sample in samples):
        raise PublishError(f"{address}: answers, but not with the metrics of a gateway")
    return [
        TrialCount(**sample.labels, videos=int(sample.value))
        for sample in samples
        if sample.name == "wildgate_canary_verdicts_total"
    ]
