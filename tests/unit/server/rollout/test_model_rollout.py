"""The order in which models are loaded and unloaded, against a Triton that behaves as the real one was found to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from wildgate_server.repository.model_configs import ensembles
from wildgate_server.repository.releases import DETECTOR, Canary, Rollout
from wildgate_server.rollout.model_rollout import ModelRollout, NotLoaded
from wildgate_server.triton.model_control import ModelControlError

OTHERS = {"clip_decoder": (1,), "clip_decoder_software": (1,), "frame_fingerprint": (1,)}
SCORERS, TRIAL_SCORERS = (
    tuple(f"video_scorer{software}{canary}" for software in ("", "_software")) for canary in ("", "_canary")
)
SERVING = {**OTHERS, DETECTOR: (1,), **dict.fromkeys(SCORERS, (1,))}
TRIAL = Rollout(serving=1, canary=Canary(version=2, share=0.5))


class FakeTriton:
    """Loads what the laid out rollout says; an ensemble without its detector's version is gone, as in the real one."""

    def __init__(self, loaded: dict[str, tuple[int, ...]]) -> None:
        self.models = dict(loaded)
        self.laid_out: list[Rollout] = []
        self.calls: list[str] = []
        self.broken: set[int] = set()
        self.full = False

    def lay_out(self, rollout: Rollout) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        self.laid_out.append(rollout)

    async def loaded(self) -> dict[str, tuple[int, ...]]:
        return dict(self.models)

    async def load(self, model: str) -> None:
        self.calls.append(f"load {model}")
        rollout = self.laid_out[-1]
        if model == DETECTOR:
            if self.broken & set(rollout.versions):
                raise ModelControlError("version is at UNAVAILABLE state: broken")
            self.models[DETECTOR] = tuple(sorted(rollout.versions))
        elif model in ensembles(rollout):
            version = ensembles(rollout)[model]
            if version not in self.models.get(DETECTOR, ()):
                self.models.pop(model, None)
                raise ModelControlError(f"{model} depends on a version that is not loaded")
            self.models[model] = (version,)
        else:
            self.models[model] = (1,)
        self._answers()

    async def unload(self, model: str) -> None:
        self.calls.append(f"unload {model}")
        del self.models[model]
        self._answers()

    def _answers(self) -> None:
        """What is asked always has what it needs."""
        for name, versions in self.models.items():
            if name.startswith("video_scorer"):
                assert set(versions) <= set(self.models[DETECTOR])


def rolling(triton: FakeTriton, **options: float) -> ModelRollout:
    return ModelRollout(triton, triton.lay_out, **options)


async def test_a_trial_begins_beside_what_serves() -> None:
    triton = FakeTriton(SERVING)
    await rolling(triton).bring(TRIAL)
    assert triton.calls == [f"load {DETECTOR}", *(f"load {name}" for name in TRIAL_SCORERS)]
    assert triton.models == {**SERVING, DETECTOR: (1, 2), **dict.fromkeys(TRIAL_SCORERS, (2,))}
    await rolling(triton).settle(TRIAL)
    assert len(triton.calls) == 3, "there is nothing to clear up"


async def test_a_promotion_adds_before_it_takes_away() -> None:
    triton = FakeTriton({**SERVING, DETECTOR: (1, 2), **dict.fromkeys(TRIAL_SCORERS, (2,))})
    promoted = Rollout(serving=2, previous=1)
    await rolling(triton).bring(promoted)
    assert triton.calls == [f"load {name}" for name in SCORERS]
    assert triton.models[DETECTOR] == (1, 2), "requests on their way to version 1 still find it"
    await rolling(triton).settle(promoted)
    assert triton.calls[2:] == [*(f"unload {name}" for name in TRIAL_SCORERS), f"load {DETECTOR}"]
    assert triton.models == {**OTHERS, DETECTOR: (2,), **dict.fromkeys(SCORERS, (2,))}
    assert triton.laid_out[-1] == promoted


async def test_a_detector_that_does_not_load_changes_nothing() -> None:
    triton = FakeTriton(SERVING)
    triton.broken = {2}
    with pytest.raises(NotLoaded, match="broken"):
        await rolling(triton).bring(TRIAL)
    assert triton.models == SERVING
    assert triton.laid_out[-1] == Rollout(serving=1)
    assert not any("video_scorer" in call for call in triton.calls)
    triton.broken = set()
    await rolling(triton).bring(TRIAL)
    assert triton.models["video_scorer_canary"] == (2,)


@pytest.mark.parametrize("rollout", [TRIAL, Rollout(serving=2)])
async def test_an_ensemble_that_does_not_load_is_taken_back(rollout: Rollout, monkeypatch: pytest.MonkeyPatch) -> None:
    triton = FakeTriton(SERVING)
    load = triton.load

    async def fails_once(model: str) -> None:
        if model.startswith("video_scorer"):
            monkeypatch.setattr(triton, "load", load)
            triton.models.pop(model, None)
            raise ModelControlError("no memory")
        await load(model)

    monkeypatch.setattr(triton, "load", fails_once)
    with pytest.raises(NotLoaded, match="no memory"):
        await rolling(triton).bring(rollout)
    assert triton.models == SERVING


async def test_a_full_disk_changes_nothing() -> None:
    triton = FakeTriton(SERVING)
    triton.full = True
    with pytest.raises(NotLoaded, match="No space left"):
        await rolling(triton).bring(TRIAL)
    assert (triton.models, triton.calls) == (SERVING, [])


@pytest.mark.parametrize("way", [lambda models: models.bring(TRIAL), lambda models: models.settle(TRIAL)])
async def test_a_triton_that_tells_nothing_is_left_alone(way: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    triton = FakeTriton(SERVING)

    async def away() -> dict[str, tuple[int, ...]]:
        raise ModelControlError("This protocol is restricted")

    monkeypatch.setattr(triton, "loaded", away)
    with pytest.raises(NotLoaded, match="This protocol is restricted"):
        await way(rolling(triton))
    assert triton.calls == []


async def test_one_that_hangs_while_it_is_revived_gives_its_turn_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    triton = FakeTriton(SERVING)
    load = triton.load

    async def hangs(model: str) -> None:
        if model == "clip_decoder":
            await asyncio.Event().wait()
        await load(model)

    monkeypatch.setattr(triton, "load", hangs)
    for model in ("clip_decoder", DETECTOR):
        (tmp_path / model / "1").mkdir(parents=True)
    triton.lay_out(Rollout(serving=1))
    models = rolling(triton, max_revival_s=0.05)
    hanging = asyncio.create_task(models.revive("clip_decoder", tmp_path))
    async with asyncio.timeout(30):
        await asyncio.sleep(0)
        await models.revive(DETECTOR, tmp_path)
    assert triton.calls == [f"load {DETECTOR}"]
    with pytest.raises(NotLoaded, match="clip_decoder did not load within"):
        await hanging
