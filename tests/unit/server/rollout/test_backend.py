"""How a Triton that somebody else loads is waited for."""

from __future__ import annotations

import pytest

from wildgate_server.repository.releases import Canary, Rollout
from wildgate_server.rollout.backend import ExternalBackend, NotReadyYet

TRIAL = Rollout(serving=1, canary=Canary(version=2, share=0.5))


class FakeTriton:
    def __init__(self, **ready: int) -> None:
        self.models = ready

    async def ready(self, model: str, version: int | None = None) -> bool:
        return self.models.get(model) == version


async def test_an_external_triton_is_waited_for_until_every_version_answers() -> None:
    triton = FakeTriton(video_scorer=1, video_scorer_software=1, video_scorer_software_canary=2)
    backend = ExternalBackend(triton)
    with pytest.raises(NotReadyYet, match="no video_scorer_canary of version 2"):
        await backend.bring(TRIAL)
    triton.models["video_scorer_canary"] = 2
    await backend.bring(TRIAL)
    await backend.settle(TRIAL)
    assert len(triton.models) == 4, "what is loaded is not the gateway's"
