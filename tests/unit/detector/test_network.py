"""The reference network: growing from older weights, and letting its first layers rest. Needs torch."""

import pytest

torch = pytest.importorskip("torch", reason="pip install torch==2.13.0")

from wildgate_detector.network import Detector  # noqa: E402


def weights(labels: int = 3) -> dict[str, "torch.Tensor"]:
    torch.manual_seed(0)
    return {name: value.clone() for name, value in Detector(labels).state_dict().items()}


def test_its_own_weights_come_back_whole() -> None:
    network, known = Detector(3), weights()
    network.load_grown(known)
    for name, value in network.state_dict().items():
        assert torch.equal(value, known[name])


def test_weights_from_before_it_grew_change_little_at_first() -> None:
    torch.manual_seed(1)
    known = weights()
    whole = Detector(3)
    whole.load_grown(known)
    young = {name: value for name, value in known.items() if not name.startswith("late.5")}
    grown = Detector(3)
    grown.load_grown(young)
    features = torch.rand(2, 192, 4, 4)
    grown.eval()
    with torch.inference_mode():
        before, after = features, grown.late[5](features)
    assert (after - before).abs().mean() < 0.1 * before.abs().mean()
    assert torch.equal(grown.early[0][0].weight, known["early.0.0.weight"])


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda known: {**known, "tail.weight": torch.zeros(1)}, id="a layer too many"),
        pytest.param(lambda known: {k: v for k, v in known.items() if not k.startswith("head")}, id="no head"),
        pytest.param(lambda known: weights(labels=5), id="other labels"),
    ],
)
def test_weights_of_another_network_are_refused(other) -> None:
    with pytest.raises(ValueError, match="weights of another network"):
        Detector(3).load_grown(other(weights()))


def test_resting_layers_neither_learn_nor_count_statistics() -> None:
    network = Detector(3).train()
    network.rest_early(True)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    logits, boxes = network(torch.rand(2, 3, 64, 64) * 255)
    (logits.sum() + boxes.sum()).backward()
    optimizer.step()
    changed = {
        name.split(".")[0] for name, value in network.state_dict().items() if not torch.equal(value, before[name])
    }
    assert "early" not in changed
    assert {"middle", "late", "merge", "head"} <= changed
    network.rest_early(False)
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert network.early.training
