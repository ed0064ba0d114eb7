"""Live animals: which classes stand for a label, what of a frame counts, and the box around a class map's peak."""

import pytest

from wildgate_detector.labels import ANIMALS, LIVE_STAMPS

torch = pytest.importorskip("torch")

from wildgate_detector.animals import AnimalMaps, _cover, _extents  # noqa: E402
from wildgate_detector.lite import Lite0  # noqa: E402


def test_every_class_stands_for_one_label() -> None:
    classes = [at for some in ANIMALS.values() for at in some]
    assert len(classes) == len(set(classes))
    assert set(classes) <= set(range(1000))
    assert set(LIVE_STAMPS) <= set(ANIMALS)


@pytest.mark.parametrize("shade", [114.0, 0.0, 16.0])
def test_bars_do_not_count(shade: float) -> None:
    frame = torch.full((1, 3, 224, 224), shade)
    frame[:, :, 64:160] = 200.0
    cover = _cover(frame)[0]
    assert (cover[2:5] == 1).all()
    assert not cover[:2].any()
    assert not cover[5:].any()


def test_bars_change_no_score() -> None:
    torch.manual_seed(0)
    network = AnimalMaps(Lite0().eval()).eval()
    with torch.inference_mode():
        dark = torch.zeros(1, 3, 224, 224)
        assert network(dark)[1].abs().max() == 0
        frame = torch.rand(1, 3, 224, 224) * 255
        boxes, scores = network(frame)
    assert boxes.shape == (1, len(ANIMALS), 4)
    assert scores.shape == (1, len(ANIMALS))
    assert 0 < scores.sum() <= 1


def test_a_box_reaches_over_the_cells_around_the_peak_alone() -> None:
    maps = torch.zeros(1, 1, 7, 7)
    maps[0, 0, 2, 3] = 1.0
    maps[0, 0, 3, 4] = 0.6
    maps[0, 0, 6, 0] = 0.9  # as strong, but elsewhere
    assert _extents(maps)[0, 0].tolist() == [3 * 32, 2 * 32, 5 * 32, 4 * 32]
