# mypy: disable-error-code="no-untyped-call"
"""The classifier: its shape on random weights, its eye on a real photograph."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from katazome.errors import WeightsError
from katazome.networks.classifier import _STAGES, SIDE, Classifier, classifier_of, open_classifier
from katazome.pictures.read import read
from katazome.pictures.resize import resize

PICTURES = Path(__file__).parents[2] / "examples/pictures"
WIDTHS = (16, 24, 40, 80, 112, 192, 320)


def random_tensors() -> dict[str, Tensor]:
    """Tensors by their published names, small random values."""
    g = torch.Generator().manual_seed(0)
    found: dict[str, Tensor] = {}

    def conv(name: str, norm: str, *shape: int) -> None:
        found[f"{name}.weight"] = torch.randn(*shape, generator=g) * (2 / (shape[1] * shape[2] ** 2)) ** 0.5
        for part in ("weight", "running_var"):
            found[f"{norm}.{part}"] = 0.5 + torch.rand(shape[0], generator=g)
        for part in ("bias", "running_mean"):
            found[f"{norm}.{part}"] = 0.1 * torch.randn(shape[0], generator=g)

    conv("_conv_stem", "_bn0", 32, 3, 3, 3)
    inward, number = 32, 0
    for (kernel, _, count), width in zip(_STAGES, WIDTHS, strict=True):
        for _ in range(count):
            at, inner = f"_blocks.{number}.", inward * (6 if number else 1)
            if number:
                conv(at + "_expand_conv", at + "_bn0", inner, inward, 1, 1)
            conv(at + "_depthwise_conv", at + "_bn1", inner, 1, kernel, kernel)
            conv(at + "_project_conv", at + "_bn2", width, inner, 1, 1)
            inward, number = width, number + 1
    conv("_conv_head", "_bn1", 1280, 320, 1, 1)
    found["_fc.weight"] = 0.02 * torch.randn(1000, 1280, generator=g)
    found["_fc.bias"] = torch.zeros(1000)
    return found


@pytest.fixture(scope="module")
def network() -> Classifier:
    return classifier_of(random_tensors())


def test_any_size_goes_in_and_scores_have_places(network: Classifier) -> None:
    for height, width in ((64, 96), (65, 70)):
        scores, taken = network(torch.rand(2, 3, height, width), taps=(1, 11))
        assert scores.shape == (2, 1000, -(-height // 32), -(-width // 32))
        assert [t.shape[1] for t in taken] == [16, 112]
    assert network.scores(torch.rand(1, 3, 64, 64)).sum() == pytest.approx(1)


def test_guided_is_another_backward_of_the_same_network(network: Classifier) -> None:
    picture = torch.rand(1, 3, 64, 64, requires_grad=True)
    plain = torch.autograd.grad(network(picture)[0][:, 5].sum(), picture)[0]
    guided = torch.autograd.grad(network(picture, guided=True)[0][:, 5].sum(), picture)[0]
    assert torch.isfinite(guided).all()
    assert not torch.allclose(plain, guided)
    with torch.no_grad():
        torch.testing.assert_close(network(picture)[0], network(picture, guided=True)[0])


def test_other_weights_are_refused() -> None:
    tensors = random_tensors()
    del tensors["_blocks.3._bn1.bias"]
    with pytest.raises(WeightsError, match=r"_blocks\.3\._bn1\.bias.* is missing"):
        classifier_of(tensors)
    tensors = random_tensors()
    tensors["_blocks.3._depthwise_conv.weight"] = torch.zeros(144, 1, 3, 3)
    with pytest.raises(WeightsError, match="block 3 of the classifier has another kernel"):
        classifier_of(tensors)


@pytest.mark.slow
def test_a_cat_and_a_cup_are_seen() -> None:
    network = open_classifier()
    tabby, tiger, egyptian = 281, 282, 285
    cup, espresso = 968, 967
    for name, kinds in (("chelsea", {tabby, tiger, egyptian}), ("coffee", {cup, espresso})):
        picture = resize(read(PICTURES / f"{name}.jpg").pixels, (SIDE, SIDE))
        found = network.scores(picture)[0]
        assert int(found.argmax()) in kinds
        assert float(found[list(kinds)].sum()) > 0.4
