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


@pytest.fixture
def maps() -> AnimalMaps:
    torch.manual_seed(0)
    return AnimalMaps(Lite0()).eval()


def test_bars_change_no_score(maps: AnimalMaps) -> None:
    frame = torch.full((1, 3, 224, 224), 114.0)
    frame[:, :, 64:160] = torch.rand(3, 96, 224) * 255
    features = torch.rand(1, 1280, 7, 7)
    elsewhere = features.clone()
    elsewhere[:, :, [0, 1, 5, 6]] = 6.0
    with torch.inference_mode():
        boxes, scores = maps(frame, features)
        assert torch.equal(maps(frame, elsewhere)[1], scores)
        assert maps(torch.zeros(1, 3, 224, 224), features)[1].abs().max() == 0
    assert boxes.shape == (1, len(ANIMALS), 4)
    assert scores.shape == (1, len(ANIMALS))
    assert 0 < scores.sum() <= 1


def test_what_is_known_outweighs_the_rest_of_the_frame(maps: AnimalMaps) -> None:
    known = maps.classes.weight[0].detach().clamp(min=0)
    features = torch.full((1, 1280, 7, 7), 0.01)
    features[0, :, 3, 3] = 6 * known / known.max()
    frame = torch.rand(1, 3, 224, 224) * 255
    with torch.inference_mode():
        few = maps(frame, features)[1][0, 0]
        alone = maps(frame, features[:, :, 3:4, 3:4].expand(1, 1280, 7, 7))[1][0, 0]
    assert few == pytest.approx(float(alone), rel=0.05)


def test_a_box_reaches_over_the_cells_around_the_peak_alone() -> None:
    maps = torch.zeros(1, 1, 7, 7)
    maps[0, 0, 2, 3] = 1.0
    maps[0, 0, 3, 4] = 0.6
    maps[0, 0, 6, 0] = 0.9  # as strong, but elsewhere
    assert _extents(maps)[0, 0].tolist() == [3 * 32, 2 * 32, 5 * 32, 4 * 32]
