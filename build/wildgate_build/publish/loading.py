"""Has an external Triton follow the repository that it reads."""

import asyncio
from dataclasses import dataclass, field

from wildgate_build.publish.errors import PublishError
from wildgate_build.publish.repository import Repository
from wildgate_build.publish.rollout_change import write_stages
from wildgate_server.repository.releases import Rollout
from wildgate_server.rollout.model_rollout import ModelRollout, NotLoaded
from wildgate_server.triton.client import ModelControl

__all__ = ["LoadFailed", "TritonToLoad", "load"]


class LoadFailed(PublishError):
    """Triton did not load or unload what the rollout asks for; what answered before still does."""


@dataclass(frozen=True)
class TritonToLoad:
    """An external Triton with explicit model control; `settle_s` is what gateways get to follow before it unloads.

    `secret` opens its model control where that is restricted by the header `triton-grpc-protocol-wildgate`.
    """

    target: str
    profile: str
    settle_s: float
    secret: str | None = field(default=None, repr=False)


def load(repository: Repository, triton: TritonToLoad) -> Rollout:
    """Loads what the rollout of `repository` asks for into `triton`, which reads that directory; then unloads the rest.

    Raises LoadFailed, RepositoryBroken, RepositoryBusy and WriteFailed.
    """
    with repository.locked():
        rollout = repository.rollout
        asyncio.run(_load(repository, triton, rollout))
    return rollout


async def _load(repository: Repository, triton: TritonToLoad, rollout: Rollout) -> None:
    control = ModelControl(triton.target, triton.secret)
    models = ModelRollout(control, lambda changing: write_stages(repository, [changing]), triton.profile)
    try:
        await models.bring(rollout)
        await asyncio.sleep(triton.settle_s)
        await models.settle(rollout)
    except NotLoaded as error:
        raise LoadFailed(f"{triton.target}: {error}") from error
    finally:
        await control.close()
