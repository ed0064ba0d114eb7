"""The commands of `wildgate-build` that put a detector to work: publish, canary, promote, rollback, load, releases."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Column, Table

from wildgate_build.failures import BuildError, fail
from wildgate_server.policy import SHIPPED_POLICY
from wildgate_server.repository.releases import Rollout

__all__ = ["canary", "load", "promote", "publish", "releases", "rollback"]

_COLUMNS = ("version", "state", "precision", "labels", "family", "published", "files")
_console = Console(soft_wrap=True, highlight=False)

_RepositoryOption = Annotated[Path, typer.Option("--repository", help="The model repository.")]
_PolicyOption = Annotated[Path, typer.Option("--policy", help="The policy that the gateways go by.")]
_REPOSITORY = Path("model_repository")


class Profile(StrEnum):
    """Which of the models' configs a Triton runs."""

    CPU = "cpu"
    GPU = "gpu"
    RTX = "rtx"


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
    from wildgate_build.publish.measurements import read_measurements
    from wildgate_build.publish.publishing import Publication
    from wildgate_build.publish.publishing import publish as publish_version
    from wildgate_build.publish.repository import Repository, read_policy
    from wildgate_build.standard_file import StandardFile

    try:
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
    except BuildError as error:
        fail(error)
    _console.print(f"published {release.model_version} ({release.precision}, {len(release.labels)} labels)")
    _console.print(f"try it on some videos: wildgate-build canary {release.version} --share 0.05")


def canary(
    version: Annotated[int | None, typer.Argument(help="The version to try.", min=1)] = None,
    share: Annotated[float, typer.Option(help="Share of the videos, above 0 and up to 1.", min=0, max=1)] = 0.05,
    stop: Annotated[bool, typer.Option("--stop", help="End the trial.")] = False,
    repository: _RepositoryOption = _REPOSITORY,
    policy: _PolicyOption = SHIPPED_POLICY,
) -> None:
    """Try a version on a share of the videos, beside the one that serves; or end the trial."""
    from wildgate_build.publish import rollout_steps

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
    from wildgate_build.publish import rollout_steps

    _change(repository, policy, lambda rollout: rollout_steps.promote(rollout, version))


def rollback(repository: _RepositoryOption = _REPOSITORY, policy: _PolicyOption = SHIPPED_POLICY) -> None:
    """Let the version serve that did before."""
    from wildgate_build.publish import rollout_steps

    _change(repository, policy, rollout_steps.roll_back)


def load(
    triton: Annotated[str, typer.Option(metavar="HOST:PORT", help="gRPC address of the external Triton.")],
    repository: _RepositoryOption = _REPOSITORY,
    profile: Annotated[Profile, typer.Option(help="The profile that it runs.")] = Profile.CPU,
    settle_s: Annotated[float, typer.Option(help="Seconds that gateways get to follow.", min=0)] = 10.0,
    secret: Annotated[
        str | None, typer.Option(help="Opens its model control.", envvar="WILDGATE_TRITON_SECRET", show_envvar=True)
    ] = None,
) -> None:
    """Have an external Triton load what the rollout asks for, and then unload the rest. It has to read REPOSITORY."""
    from wildgate_build.publish.loading import TritonToLoad
    from wildgate_build.publish.loading import load as load_models
    from wildgate_build.publish.repository import Repository

    try:
        rollout = load_models(Repository(repository), TritonToLoad(triton, profile, settle_s, secret))
    except BuildError as error:
        fail(error)
    _console.print(f"{triton}: {_told(rollout)}")


def releases(
    repository: _RepositoryOption = _REPOSITORY,
    metrics: Annotated[
        str | None, typer.Option(metavar="URL", help="Metrics of a gateway, to see how the trial goes.")
    ] = None,
) -> None:
    """Show every version, which of them answer, and how a trial goes. Exit status 1 when a file is not as published."""
    from wildgate_build.publish.overview import comparisons, published_versions
    from wildgate_build.publish.repository import Repository
    from wildgate_build.publish.rollout_change import unsettled

    try:
        target = Repository(repository)
        versions = list(published_versions(target))
        complaints = unsettled(target)
        counts = comparisons(metrics) if metrics else []
    except BuildError as error:
        fail(error)
    table = Table(*(Column(name, no_wrap=True) for name in _COLUMNS), box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    for each in versions:
        release, files = each.release, "DIFFER" if each.fault else "ok"
        if release is None:
            table.add_row(str(each.version), each.state, "?", "?", "?", "?", files)
            continue
        origin = release.origin
        facts = (release.precision, str(len(release.labels)), origin.family, origin.published[: len("2026-01-01")])
        table.add_row(release.model_version, each.state, *facts, files)
    _console.print(table)
    for release in (each.release for each in versions if each.release and each.release.metrics):
        figures = ", ".join(f"{name} {value:.4g}" for name, value in release.metrics.items())
        _console.print(f"{release.model_version}: {figures}")
    if metrics:
        trial = Table("serving", "canary", "serving says", "canary says", "videos")
        for count in counts:
            trial.add_row(count.serving, count.canary, count.serving_action, count.canary_action, str(count.videos))
        _console.print(trial)
    for fault in [each.fault for each in versions if each.fault]:
        _console.print(fault, style="red", markup=False)
    for complaint in complaints:
        _console.print(f"{complaint}; run `make configs`", style="yellow", markup=False)
    if any(each.fault for each in versions):
        raise typer.Exit(1)


def _change(path: Path, policy: Path, step: Callable[[Rollout], Rollout]) -> None:
    from wildgate_build.publish.repository import Repository, read_policy
    from wildgate_build.publish.rollout_change import change_rollout

    try:
        rollout = change_rollout(Repository(path), step, read_policy(policy))
    except BuildError as error:
        fail(error)
    _console.print(_told(rollout))


def _told(rollout: Rollout) -> str:
    canary = f", version {rollout.canary.version} on trial on {rollout.canary.share:.3g}" if rollout.canary else ""
    previous = f", version {rollout.previous} before" if rollout.previous else ""
    return f"version {rollout.serving} serves{canary}{previous}"
