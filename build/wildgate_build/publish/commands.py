"""The commands of `wildgate-build` that bring a detector live: publish, canary, promote, rollback, releases."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.table import Column, Table

from wildgate_build.console import console, fail, failures, say
from wildgate_build.publish import rollout_steps
from wildgate_build.publish.measurements import read_measurements
from wildgate_build.publish.overview import PublishedVersion, published_versions, trial_counts
from wildgate_build.publish.publishing import Publication
from wildgate_build.publish.publishing import publish as publish_version
from wildgate_build.publish.repository import Repository, read_policy
from wildgate_build.publish.rollout_change import change_rollout, unsettled
from wildgate_build.standard_file import StandardFile
from wildgate_server.policy import SHIPPED_POLICY
from wildgate_server.repository.releases import Rollout

__all__ = ["canary", "promote", "publish", "releases", "rollback"]

_COLUMNS = ("version", "state", "precision", "labels", "family", "published", "files")

_RepositoryOption = Annotated[Path, typer.Option("--repository", help="The model repository.")]
_PolicyOption = Annotated[Path, typer.Option("--policy", help="The policy that the gateways go by.")]
_REPOSITORY = Path("model_repository")


def publish(
    detector: Annotated[Path, typer.Argument(metavar="DETECTOR.onnx", help="A standard detector file.")],
    repository: _RepositoryOption = _REPOSITORY,
    policy: _PolicyOption = SHIPPED_POLICY,
    for_engines: Annotated[
        Path | None, typer.Option(help="The same detector as GPU engines take it, where DETECTOR.onnx is for CPUs.")
    ] = None,
    report: Annotated[list[Path] | None, typer.Option(help="JSON whose figures the release records.")] = None,
    version: Annotated[int | None, typer.Option(help="Its number; the next free one by default.", min=1)] = None,
) -> None:
    """Make a detector available as a new version. It answers nothing until it is tried or promoted."""
    with failures():
        target = Repository(repository)
        source = StandardFile.read(detector)
        engines_source = StandardFile.read(for_engines) if for_engines else None
        files = {file.path: file.digest for file in (source, engines_source) if file}
        publication = Publication(
            source=source,
            policy=read_policy(policy),
            for_engines=engines_source,
            code_from=target.rollout.serving,
            version=version,
            metrics=read_measurements(report or [], files),
        )
        release = publish_version(target, publication)
    say(f"published {release.model_version} ({release.precision}, {len(release.labels)} labels)")
    say(f"try it on some videos: wildgate-build canary {release.version} --share 0.05")


def canary(
    version: Annotated[int | None, typer.Argument(help="The version to try.", min=1)] = None,
    share: Annotated[float, typer.Option(help="Share of the videos, above 0 and up to 1.", min=0, max=1)] = 0.05,
    stop: Annotated[bool, typer.Option("--stop", help="End the trial.")] = False,
    repository: _RepositoryOption = _REPOSITORY,
    policy: _PolicyOption = SHIPPED_POLICY,
) -> None:
    """Try a version on a share of the videos, beside the one that serves; or end the trial."""
    if stop == (version is not None):
        fail("name the version to try, or --stop")
    if not stop and share <= 0:
        fail(f"--share is {share:g}, not above 0")
    _change(
        repository,
        policy,
        lambda rollout: (
            rollout_steps.stop_canary(rollout)
            if version is None
            else rollout_steps.start_canary(rollout, version, share)
        ),
    )


def promote(
    version: Annotated[int | None, typer.Argument(help="The one on trial by default.", min=1)] = None,
    repository: _RepositoryOption = _REPOSITORY,
    policy: _PolicyOption = SHIPPED_POLICY,
) -> None:
    """Let a version serve."""
    _change(repository, policy, lambda rollout: rollout_steps.promote(rollout, version))


def rollback(repository: _RepositoryOption = _REPOSITORY, policy: _PolicyOption = SHIPPED_POLICY) -> None:
    """Let the version serve that did before."""
    _change(repository, policy, rollout_steps.roll_back)


def releases(
    repository: _RepositoryOption = _REPOSITORY,
    metrics: Annotated[
        str | None, typer.Option(metavar="URL", help="Metrics of a gateway, to see how the trial goes.")
    ] = None,
) -> None:
    """Show every version, which of them answer, and how a trial goes. Exit status 1 when a file is not as published."""
    with failures():
        target = Repository(repository)
        versions = list(published_versions(target))
        complaints = unsettled(target)
        counts = trial_counts(metrics) if metrics else []
    table = Table(*(Column(name, no_wrap=True) for name in _COLUMNS), box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    for each in versions:
        table.add_row(*_row(each))
    console.print(table)
    for release in (each.release for each in versions if each.release and each.release.metrics):
        figures = ", ".join(f"{name} {value:.4g}" for name, value in release.metrics.items())
        say(f"{release.model_version}: {figures}")
    if metrics:
        trial = Table("serving", "canary", "serving says", "canary says", "videos")
        for count in counts:
            trial.add_row(count.serving, count.canary, count.serving_action, count.canary_action, str(count.videos))
        console.print(trial)
    faults = [each.fault for each in versions if each.fault]
    for fault in faults:
        say(fault, "red")
    for complaint in complaints:
        say(f"{complaint}; run `make configs`", "yellow")
    if faults:
        raise typer.Exit(1)


def _row(version: PublishedVersion) -> tuple[str, ...]:
    release, files = version.release, "DIFFER" if version.fault else "ok"
    if release is None:
        return str(version.version), version.state, "?", "?", "?", "?", files
    origin = release.origin
    facts = release.precision, str(len(release.labels)), origin.family, origin.published[: len("2026-01-01")]
    return release.model_version, version.state, *facts, files


def _change(path: Path, policy: Path, step: Callable[[Rollout], Rollout]) -> None:
    with failures():
        rollout = change_rollout(Repository(path), step, read_policy(policy))
    say(rollout.summary)
