"""What `wildgate-build releases` shows: every published version, and how a trial goes."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from wildgate_build.publish.errors import PublishError
from wildgate_build.publish.repository import Repository
from wildgate_server.repository.releases import Release, Rollout

__all__ = ["Comparison", "MetricsUnreadable", "PublishedVersion", "comparisons", "published_versions"]

_TIMEOUT_S = 10.0


class MetricsUnreadable(PublishError):
    """The address does not answer with the metrics of a gateway."""


@dataclass(frozen=True)
class PublishedVersion:
    """One version: its release, or what is wrong with it."""

    version: int
    state: str
    release: Release | None
    fault: str = ""


@dataclass(frozen=True)
class Comparison:
    """How many videos got these actions from the serving version and from the one on trial."""

    serving: str
    canary: str
    serving_action: str
    canary_action: str
    videos: int


def published_versions(repository: Repository) -> Iterator[PublishedVersion]:
    """Every version in order, its files compared with their digests. Raises RepositoryBroken."""
    rollout = repository.rollout
    for version in repository.versions:
        state = _state(version, rollout)
        try:
            release = repository.release(version)
        except PublishError as error:
            yield PublishedVersion(version, state, None, str(error))
            continue
        try:
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


def comparisons(address: str) -> list[Comparison]:
    """The counts of a gateway whose metrics are at `address`. Raises MetricsUnreadable."""
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
    except (OSError, ValueError, urllib.error.URLError) as error:
        raise MetricsUnreadable(f"{address}: cannot be read as metrics: {error}") from error
    samples = [sample for family in families for sample in family.samples]
    if not any(sample.name.startswith("wildgate_") for sample in samples):
        raise MetricsUnreadable(f"{address}: answers, but not with the metrics of a gateway")
    return [
        Comparison(**sample.labels, videos=int(sample.value))
        for sample in samples
        if sample.name == "wildgate_canary_verdicts_total"
    ]
