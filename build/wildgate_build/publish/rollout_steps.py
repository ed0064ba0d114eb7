"""The steps a rollout can take, and when each is allowed."""

from wildgate_build.errors import PublishError
from wildgate_server.repository.releases import Canary, Rollout

__all__ = ["promote", "roll_back", "start_canary", "stop_canary"]


def start_canary(rollout: Rollout, version: int, share: float) -> Rollout:
    """`version` answers for `share` (above 0, up to 1) of the videos, in place of a version tried before.

    Raises PublishError when it serves already.
    """
    if version == rollout.serving:
        raise PublishError(f"version {version} serves: there is nothing to try it against")
    return rollout.model_copy(update={"canary": Canary(version=version, share=share)})


def stop_canary(rollout: Rollout) -> Rollout:
    """Nothing is on trial any more. Raises PublishError when nothing is."""
    if rollout.canary is None:
        raise PublishError("no version is on trial")
    return rollout.model_copy(update={"canary": None})


def promote(rollout: Rollout, version: int | None) -> Rollout:
    """`version`, or the one on trial, serves; nothing is on trial any more. Raises PublishError."""
    if version is None:
        if rollout.canary is None:
            raise PublishError("no version is on trial: name the one to promote")
        version = rollout.canary.version
    if version == rollout.serving:
        raise PublishError(f"version {version} serves already")
    return Rollout(serving=version, previous=rollout.serving)


def roll_back(rollout: Rollout) -> Rollout:
    """The version that served before serves again; nothing is on trial any more. Raises PublishError."""
    if rollout.previous is None:
        raise PublishError(
            f"nothing is known to have served before version {rollout.serving}: promote a version instead"
        )
    return Rollout(serving=rollout.previous)
