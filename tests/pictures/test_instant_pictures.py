"""Pictures of one pass of real photographs through the real network and the real decoders."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from katazome.api import Session
from katazome.networks.decoders import LAYERS, Decoder, Decoders
from katazome.networks.vgg import Encoder
from katazome.objective.whole import feature_maps
from katazome.studies.metrics import gram_distance, structure_distance
from katazome.weights.flavours import VGGWeights
from tests.pictures.test_real_pictures import APPLES, COFFEE, WHEAT, at

pytestmark = pytest.mark.slow

SIZE = (192, 256)


@pytest.fixture(scope="module")
def session(vgg: VGGWeights) -> Iterator[Session]:
    with Session(weights=vgg, device="cpu") as made:
        yield made


@pytest.mark.parametrize("method", ["adain", "wct", "wae"])
def test_the_picture_is_nearer_to_its_own_style(session: Session, method: str) -> None:
    encoder, layers = session.encoder, ["relu1_1", "relu2_1", "relu3_1", "relu4_1"]
    styles = {name: at(file, SIZE) for name, file in (("wheat", WHEAT), ("apples", APPLES))}

    def distance(picture: Tensor, style: str) -> float:
        return gram_distance(encoder, picture, styles[style], layers, 0)

    content = at(COFFEE, SIZE)
    for own, other in (("wheat", "apples"), ("apples", "wheat")):
        made = session.stylize(COFFEE, styles[own], method=method, size="256x192", strength=1.0).tensor
        figures = [distance(made, own), distance(made, other), distance(content, own)]
        print(method, own, [f"{f:.2f}" for f in figures])
        assert figures[0] < 0.8 * figures[2]
        assert figures[0] < figures[1]


@pytest.mark.parametrize(("layer", "most"), list(zip(LAYERS[:3], (0.02, 0.06, 0.1), strict=True)))
def test_decoders_give_the_photograph_back(vgg: VGGWeights, layer: str, most: float) -> None:
    """A photograph that none of ours was trained on; the RMS error of its pixels."""
    picture = at(COFFEE, SIZE)
    decoder: Decoder = Decoders(vgg)(layer)
    features = Encoder(vgg)(picture, [layer])[layer]
    error = float((decoder(features).clamp(0, 1) - picture).square().mean().sqrt())
    print(f"{layer}: {error:.3f}")
    assert error < most


def test_bfloat16_is_the_same_to_the_eye(session: Session) -> None:
    one, other = (
        session.stylize(COFFEE, WHEAT, method="adain", size=256, precision=p).tensor
        for p in ("float32", "bfloat16")
    )
    assert float((one - other).abs().mean()) < 1 / 255
    assert not torch.equal(one, other)


def test_the_autoencoder_that_comes_with_the_program(session: Session) -> None:
    """On photographs it has not learnt from: it gives them back, at any size, and keeps their content."""
    content = at(COFFEE, SIZE)
    back = session.stylize(COFFEE, COFFEE, method="wae", size="256x192").tensor
    error = float((back - content).square().mean().sqrt())
    seen = feature_maps(session.encoder, content, ["relu4_1"])["relu4_1"]
    wheat = session.stylize(COFFEE, WHEAT, method="wae", size="256x192").tensor
    kept = structure_distance(feature_maps(session.encoder, wheat, ["relu4_1"])["relu4_1"], seen)
    print(f"RMSE {255 * error:.0f}, content {kept:.2f}")
    assert error < 0.1
    assert kept < 0.55
    tiled = session.stylize(
        COFFEE, WHEAT, method="wae", size="256x192", tile="64", precision="float32"
    ).tensor
    whole = session.stylize(
        COFFEE, WHEAT, method="wae", size="256x192", tile="off", precision="float32"
    ).tensor
    torch.testing.assert_close(tiled, whole, atol=1e-3, rtol=0)


def test_the_network_for_one_style_that_comes_with_the_program(session: Session) -> None:
    """The picture is nearer to what it learnt than the photograph is, and keeps what is in it."""
    content, style = at(COFFEE, SIZE), at(WHEAT, SIZE)
    layers = ["relu1_1", "relu2_1", "relu3_1", "relu4_1"]
    made = session.stylize(COFFEE, method="feedforward", size="256x192").tensor
    before, after = (gram_distance(session.encoder, p, style, layers, 0) for p in (content, made))
    seen = [feature_maps(session.encoder, p, ["relu4_1"])["relu4_1"] for p in (made, content)]
    print(f"style {before:.2f} to {after:.2f}, content {structure_distance(*seen):.2f}")
    assert after < 0.8 * before
    assert structure_distance(*seen) < 0.7
