"""When verdicts are no longer as they used to be."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from wildgate_server.drift import Drift, DriftSettings
from wildgate_server.errors import SettingsConflict
from wildgate_server.server_metrics import ServerMetrics


def watched(drift: Drift, videos: int, *, seed: int, worse: float = 0.0) -> Drift:
    """As many videos; `worse` moves scores up."""
    drawn = random.Random(seed)
    for _ in range(videos):
        score = min(drawn.betavariate(1, 6) + worse, 1.0)
        drift.add(score, "BLOCK" if score > 0.6 else "REVIEW" if score > 0.4 else "ALLOW")
    return drift


def indices(drift: Drift) -> list[float | None]:
    drift.tell(metrics := ServerMetrics())
    names = ({"signal": signal} for signal in ("top_score", "action"))
    return [metrics.registry.get_sample_value("wildgate_drift_psi", name) for name in names]


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    """What a gateway said of itself when all was well."""
    file = tmp_path / "reference.yaml"
    file.write_bytes(watched(Drift(), 5000, seed=1).page())
    return file


def test_more_of_the_same_is_no_drift_and_other_scores_are(reference: Path) -> None:
    settings = DriftSettings(reference=reference, window=1000)
    same = watched(Drift(settings), 3000, seed=2)
    assert max(indices(same)) < 0.05
    assert min(indices(watched(same, 1000, seed=3, worse=0.2))) > 0.25, "the window has the newest alone"


def test_too_few_videos_say_nothing(reference: Path) -> None:
    assert indices(watched(Drift(DriftSettings(reference=reference)), 499, seed=2)) == [None, None]
    assert indices(watched(Drift(), 1000, seed=2)) == [None, None], "nor does a window without a reference"


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_the_ends_of_the_scale_have_their_bins(score: float) -> None:
    drift = Drift()
    drift.add(score, "ALLOW")
    drift.tell(metrics := ServerMetrics())
    bins = {"signal": "top_score", "bin": "1.0" if score else "0.1"}
    assert metrics.registry.get_sample_value("wildgate_drift_share", bins) == 1


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [("allow: 0.", "allow: 0.5", "shares of action"), ("allow", "sell", "bins allow, review, block")],
)
def test_a_reference_of_no_use_is_refused(reference: Path, old: str, new: str, named: str) -> None:
    reference.write_text(reference.read_text().replace(old, new))
    with pytest.raises(SettingsConflict, match=named):
        Drift(DriftSettings(reference=reference))
