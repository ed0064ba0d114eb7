"""The command `wildgate-build load`: has an external Triton follow the repository that it reads.

It belongs to the server, which knows how Triton loads and unloads; `wildgate-build` finds it by its entry point.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from wildgate_server.repository.lock import LockRefused, locked
from wildgate_server.repository.manifest import ManifestError, load_manifest
from wildgate_server.repository.model_configs import write_configs
from wildgate_server.repository.releases import Rollout, load_rollout
from wildgate_server.rollout.model_rollout import ModelRollout, NotLoaded
from wildgate_server.triton.client import ModelControl

__all__ = ["ExternalTriton", "load_command", "load_models"]

_BAD_INPUT = 2


class Profile(StrEnum):
    """Which of the models' configs a Triton runs."""

    CPU = "cpu"
    GPU = "gpu"
    RTX = "rtx"


@dataclass(frozen=True)
class ExternalTriton:
    """A Triton with explicit model control; `settle_s` is what gateways get to follow before it unloads.

    `secret` opens its model control where that is restricted by the header `triton-grpc-protocol-wildgate`.
    """

    target: str
    profile: str
    settle_s: float
    secret: str | None = field(default=None, repr=False)


def load_command(args: list[str]) -> int:
    """Have an external Triton load what the rollout asks for, and then unload the rest. It has to read REPOSITORY."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(help=load_command.__doc__)(_load)
    try:
        app(args, prog_name="wildgate-build load")
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 1
    return 0


def _load(
    triton: Annotated[str, typer.Option(metavar="HOST:PORT", help="gRPC address of the external Triton.")],
    repository: Annotated[Path, typer.Option(help="The model repository.")] = Path("model_repository"),
    profile: Annotated[Profile, typer.Option(help="The profile that it runs.")] = Profile.CPU,
    settle_s: Annotated[float, typer.Option(help="Seconds that gateways get to follow.", min=0)] = 10.0,
    secret: Annotated[
        str | None, typer.Option(help="Opens its model control.", envvar="WILDGATE_TRITON_SECRET", show_envvar=True)
    ] = None,
) -> None:
    try:
        rollout = load_models(repository, ExternalTriton(triton, profile, settle_s, secret))
    except (LockRefused, ManifestError) as error:
        _fail(str(error))
    except NotLoaded as error:
        _fail(f"{triton}: {error}")
    except OSError as error:
        _fail(f"{error.filename or repository}: cannot be written: {error.strerror or error}")
    Console(soft_wrap=True, highlight=False).print(f"{triton}: {rollout.summary}", markup=False)


def load_models(repository: Path, triton: ExternalTriton) -> Rollout:
    """Loads what the rollout of `repository` asks for into `triton`, which reads that directory; then unloads the rest.

    Raises NotLoaded, with what answered before still answering, LockRefused while another command writes the
    repository, ManifestError when it cannot be read, and OSError when it cannot be written.
    """
    with locked(repository):
        rollout = load_rollout(repository)
        asyncio.run(_bring(repository, triton, rollout))
    return rollout


async def _bring(repository: Path, triton: ExternalTriton, rollout: Rollout) -> None:
    manifest = load_manifest(repository)
    control = ModelControl(triton.target, triton.secret)
    models = ModelRollout(control, lambda stage: write_configs(manifest, stage, repository), triton.profile)
    try:
        await models.bring(rollout)
        await asyncio.sleep(triton.settle_s)
        await models.settle(rollout)
    finally:
        await control.close()


def _fail(message: str) -> NoReturn:
    Console(stderr=True, soft_wrap=True).print(f"wildgate-build: {message}", style="red", markup=False, highlight=False)
    raise typer.Exit(_BAD_INPUT)
