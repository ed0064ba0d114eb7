"""The command `wildgate-build load`: has an external Triton follow the repository that it reads.

It belongs to the server, which knows how Triton loads and unloads; `wildgate-build` finds it by its entry point.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from wildgate_server.repository.lock import LockRefused, locked
from wildgate_server.repository.manifest import ManifestError, load_manifest
from wildgate_server.repository.model_configs import write_configs
from wildgate_server.repository.releases import Rollout, load_rollout
from wildgate_server.rollout.model_rollout import ModelRollout, NotLoaded
from wildgate_server.triton.model_control import ModelControl

__all__ = ["load_command", "load_models"]

_BAD_INPUT = 2


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
    settle_s: Annotated[float, typer.Option(help="Seconds that gateways get to follow.", min=0)] = 10.0,
    secret: Annotated[
        str | None, typer.Option(help="Opens its model control.", envvar="WILDGATE_TRITON_SECRET", show_envvar=True)
    ] = None,
) -> None:
    try:
        rollout = load_models(repository, triton, settle_s=settle_s, secret=secret)
    except (LockRefused, ManifestError) as error:
        _fail(str(error))
    except NotLoaded as error:
        _fail(f"{triton}: {error}")
    except OSError as error:
        _fail(f"{error.filename or repository}: cannot be written: {error.strerror or error}")
    Console(soft_wrap=True, highlight=False).print(f"{triton}: {rollout.summary}", markup=False)


def load_models(repository: Path, triton: str, *, settle_s: float, secret: str | None = None) -> Rollout:
    """Loads what the rollout of `repository` asks for into the Triton at `triton`, which reads it; unloads the rest.

    Gateways get `settle_s` to follow in between. `secret` opens that Triton's model control where it is restricted by
    the header `triton-grpc-protocol-wildgate`.

    Raises NotLoaded, with what answered before still answering, LockRefused while another command writes the
    repository, ManifestError when it cannot be read, and OSError when it cannot be written.
    """
    with locked(repository):
        manifest, rollout = load_manifest(repository), load_rollout(repository)

        async def load() -> None:
            control = ModelControl(triton, secret)
            models = ModelRollout(control, lambda stage: write_configs(manifest, stage, repository))
            try:
                await models.bring(rollout)
                await asyncio.sleep(settle_s)
                await models.settle(rollout)
            finally:
                await control.close()

        asyncio.run(load())
    return rollout


def _fail(message: str) -> NoReturn:
    Console(stderr=True, soft_wrap=True).print(f"wildgate-build: {message}", style="red", markup=False, highlight=False)
    raise typer.Exit(_BAD_INPUT)
