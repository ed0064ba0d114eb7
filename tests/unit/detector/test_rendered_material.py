"""Products and look-alikes: drawn anew from a seed, and cut to what is visible."""

import numpy as np
import pytest

from wildgate_detector.labels import PRODUCTS
from wildgate_detector.lookalikes import LOOKALIKES
from wildgate_detector.products import PRODUCT_RENDERERS, Renderer

RENDERERS = {**PRODUCT_RENDERERS, **LOOKALIKES}


@pytest.fixture(params=sorted(RENDERERS))
def renderer(request: pytest.FixtureRequest) -> Renderer:
    return RENDERERS[request.param]


def test_every_product_has_a_renderer() -> None:
    assert tuple(PRODUCT_RENDERERS) == PRODUCTS


def test_the_same_seed_draws_the_same(renderer: Renderer) -> None:
    first, again = (renderer(np.random.default_rng(7), 96) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_another_seed_draws_another(renderer: Renderer) -> None:
    first, other = (renderer(np.random.default_rng(seed), 96) for seed in (1, 2))
    assert first.shape != other.shape or (first != other).any()


def test_the_cutout_is_tight_and_fills_its_square(renderer: Renderer) -> None:
    for seed in range(4):
        cutout = renderer(np.random.default_rng(seed), 96)
        visible = cutout[..., 3] >= 24
        assert visible[0].any()
        assert visible[-1].any()
        assert visible[:, 0].any()
        assert visible[:, -1].any()
        assert max(cutout.shape[:2]) >= 48
        assert max(cutout.shape[:2]) <= 96
