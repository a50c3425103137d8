"""The real network on real pictures against values computed independently in float64."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from katazome.losses.base import Loss
from katazome.losses.content import Content
from katazome.losses.divergence import SCALES, mmd
from katazome.losses.filters import entry_weights, mixed_gram, touched
from katazome.losses.smoothness import Smoothness
from katazome.losses.style import GramStyle, Look, LookStatistics, gram_loss
from katazome.methods.transfer import normalised
from katazome.networks.decoders import Decoder, published
from katazome.networks.vgg import Encoder, EncoderSettings
from katazome.objective.whole import Objective, Octave, feature_maps, gather
from katazome.pictures.resize import shrink, shrink_five_tap
from katazome.statistics.direction import RunningMean, norm, pushed
from katazome.statistics.gram import gram_sum, position_sum
from katazome.statistics.guides import carry
from katazome.statistics.moments import guide_sum, moment_sums
from katazome.weights.flavours import VGGWeights

FILES = {"content": "contents/golden_gate.jpg", "style": "style-classics/la_muse.jpg"}
STYLE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
PRECISIONS = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)], ids=["float64", "float32"]
)


@pytest.fixture(scope="module")
def known(shared: Path) -> dict[str, Any]:
    return dict(json.loads((shared / "spec" / "known-values.json").read_text()))


@pytest.fixture(scope="module")
def pictures(shared: Path) -> dict[str, Tensor]:
    """Content, style, and x between them: float64, 128 x 128."""
    found: dict[str, Tensor] = {}
    for role, name in FILES.items():
        with Image.open(shared / "data" / name) as image:
            rgb = np.asarray(image.convert("RGB"), dtype=np.float64) / 255
        top, left = (rgb.shape[0] - 128) // 2, (rgb.shape[1] - 128) // 2
        crop = rgb[top : top + 128, left : left + 128].transpose(2, 0, 1).copy()
        found[role] = torch.from_numpy(crop).unsqueeze(0)
    found["x"] = 0.7 * found["content"] + 0.3 * found["style"]
    return found


def encoder(vgg: VGGWeights, dtype: torch.dtype, padding: Any = "zeros", pooling: Any = "max") -> Encoder:
    return Encoder(vgg, EncoderSettings(dtype=dtype, padding=(padding, padding), pooling=pooling))


def close(found: Tensor | float, expected: float, tolerance: float) -> None:
    assert float(found) == pytest.approx(expected, rel=tolerance)


@PRECISIONS
@pytest.mark.parametrize("combination", ["zeros/max", "zeros/average", "reflect/max", "reflect/average"])
def test_features(vgg, known, pictures, combination, dtype, tolerance):
    e = encoder(vgg, dtype, *combination.split("/"))
    expected = known["features"][combination]
    features = e(pictures["content"].to(dtype), list(expected))
    for name, values in expected.items():
        f = features[name]
        assert list(f.shape[1:]) == values["shape"]
        close(f.double().mean(), values["mean"], tolerance)
        close(f.double().square().mean().sqrt(), values["rms"], tolerance)
        gram = gram_sum(f) / position_sum(f)
        close(gram.norm(), values["gram_frobenius"], tolerance)
        close(gram[0, 1], values["gram_0_1"], tolerance)


def base_objective(e: Encoder, pictures: Mapping[str, Tensor]) -> Objective:
    """Content, each style layer as a loss of its own, and smoothness."""
    dtype = e.settings.dtype
    look = Look.of(gather(e, pictures["style"].to(dtype), LookStatistics(STYLE)))
    held = feature_maps(e, pictures["content"].to(dtype), ["relu4_2"])
    losses: list[Loss] = [Content(held, {"relu4_2": 1.0})]
    losses += [GramStyle({n: look.grams[n]}, {n: 1 / 5}, 100.0, name=n) for n in STYLE]
    return Objective(e, [Octave(0, tuple(losses))], shrink, [Smoothness(1e-5, as_sum=True)])


@PRECISIONS
def test_base_loss_and_its_gradient(vgg, known, pictures, dtype, tolerance):
    expected = known["base_loss_zeros_max"]
    found = base_objective(encoder(vgg, dtype), pictures)(pictures["x"].to(dtype))
    close(found.terms["content"], expected["content_relu4_2"], tolerance)
    for name, value in expected["style"].items():
        close(found.terms[name], 100 / 5 * value, tolerance)
    close(found.terms["smoothness"], 1e-5 * expected["tv_sum"], tolerance)
    close(found.total, expected["total_value"], tolerance)
    close(found.gradient.double().norm(), expected["gradient_l2"], tolerance)
    for row in (64, 0):
        pixel = torch.tensor(expected[f"gradient_at_row{row}_col{row}"], dtype=torch.float64)
        # In float32 a near tie in a pooling may go the other way: judged against the gradient's mean size.
        slack = 0 if dtype == torch.float64 else 1e-2 * expected["gradient_l2"] / (3 * 128**2) ** 0.5
        torch.testing.assert_close(found.gradient[0, :, row, row].double(), pixel, rtol=tolerance, atol=slack)


@PRECISIONS
def test_guided_gram(vgg, known, pictures, dtype, tolerance):
    mask = torch.zeros(1, 1, 128, 128, dtype=dtype)
    mask[..., :64] = 1
    mask[..., 64:80] = torch.linspace(1, 0, 16, dtype=dtype)
    e = encoder(vgg, dtype)
    statistics = LookStatistics(STYLE, guides=carry(mask, STYLE))
    look = Look.of(gather(e, pictures["content"].to(dtype), statistics))
    for name, value in known["guided_gram"]["frobenius"].items():
        close(look.grams[name].norm(), value, tolerance)


@PRECISIONS
@pytest.mark.parametrize("name", ["relu4_1", "relu5_1"])
def test_filters_eq_7_to_10(vgg, known, pictures, dtype, tolerance, name):
    network = encoder(vgg, dtype)
    statistics = LookStatistics((name,))
    grams = {
        role: Look.of(gather(network, p.to(dtype), statistics)).grams[name] for role, p in pictures.items()
    }
    expected = known["filters_eq7_10"][name]
    chosen = torch.zeros(len(grams["x"]), dtype=torch.bool)
    chosen[expected["selected"]] = True
    either = touched(chosen)
    assert float(either.double().mean()) == pytest.approx(expected["r"])
    target = mixed_gram(grams["content"], grams["style"], chosen)
    squares = (grams["x"] - target).square()
    close(squares[either].mean(), expected["or_block_mean"], tolerance)
    close(squares[~either].mean(), expected["rest_block_mean"], tolerance)
    close(gram_loss(grams["x"], target, entry_weights(chosen)), expected["E"], tolerance)


@PRECISIONS
def test_snelgrove_three_octaves(vgg, known, pictures, dtype, tolerance):
    expected = known["snelgrove_3_octaves"]
    e = encoder(vgg, dtype, "zeros", "average")
    style = pictures["style"].to(dtype)
    level = pictures["x"].to(dtype)
    octaves = []
    for k, (size, mean) in enumerate(zip(expected["sizes"], expected["level_means"], strict=True)):
        assert tuple(level.shape[2:]) == (size, size)
        close(level.mean(), mean, tolerance)
        look = Look.of(gather(e, style, LookStatistics(("pool1", "relu3_2"))))
        # The sum of squares of G / (positions x channels) is the mean of those of G / positions.
        for name in look.grams:
            loss = GramStyle({name: look.grams[name]}, {name: 1.0}, name=f"octave{k}/{name}")
            octaves.append(Octave(k, (loss,)))
        style, level = shrink_five_tap(style), shrink_five_tap(level)
    found = Objective(e, octaves, shrink_five_tap)(pictures["x"].to(dtype))
    assert set(found.terms) == set(expected["terms"])
    for name, value in expected["terms"].items():
        close(found.terms[name], value, tolerance)
    close(found.total, expected["total"], tolerance)


@PRECISIONS
def test_adain_with_reflected_borders(vgg, known, pictures, dtype, tolerance):
    expected = known["adain_reflect"]
    e = encoder(vgg, dtype, "reflect")
    features = {r: e(pictures[r].to(dtype), ["relu4_1"])["relu4_1"] for r in ("content", "style")}
    moments = [moment_sums(f) / guide_sum(f) for f in features.values()]
    target = normalised(*moments)(features["content"])
    close(target.double().mean(), expected["target_mean"], tolerance)
    close(target.double().square().mean().sqrt(), expected["target_rms"], tolerance)
    decoded = Decoder(published())(target).double()
    close(decoded.mean(), expected["decoded_mean"], tolerance)
    close(decoded.square().mean().sqrt(), expected["decoded_rms"], tolerance)
    for got, value in zip(decoded[0, :, 64, 64], expected["decoded_at_64_64"], strict=True):
        close(got, value, tolerance)


def test_mmd_with_seven_kernels(known):
    """Tolstikhin's estimate, which leaves out the diagonals of the two first terms but not of the last."""
    expected = known["mmd_imq"]
    rows, columns = (torch.arange(n, dtype=torch.float64) for n in (8, 4))
    z = torch.sin((rows[:, None] + 1) * (columns + 1))
    prior = torch.cos(0.7 * (rows[:, None] + 1) * (columns + 2))
    assert tuple(expected["scales"]) == SCALES
    close(mmd(z, prior), expected["value"], 1e-12)


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.slow
def test_tiles_are_the_whole_at_512_in_float32(vgg, shared):
    """The issue's own: 1e-4 relative, at tile borders too."""
    found: dict[str, Tensor] = {}
    for role, name in FILES.items():
        with Image.open(shared / "data" / name) as image:
            rgb = np.asarray(image.convert("RGB").resize((512, 512)), dtype=np.float32) / 255
        found[role] = torch.from_numpy(rgb.transpose(2, 0, 1).copy()).unsqueeze(0)
    x = 0.7 * found["content"] + 0.3 * found["style"]
    objective = base_objective(encoder(vgg, torch.float32, "reflect"), found)
    whole, tiled = objective(x), replace(objective, tile=256)(x)
    assert abs(float(tiled.total / whole.total) - 1) < 1e-5
    assert relative(tiled.gradient, whole.gradient) < 1e-4
    band = slice(248, 264)
    print(f"tiles against whole: {relative(tiled.gradient, whole.gradient):.1e} of the gradient")
    assert relative(tiled.gradient[:, :, band], whole.gradient[:, :, band]) < 1e-4
    assert relative(tiled.gradient[..., band], whole.gradient[..., band]) < 1e-4


@PRECISIONS
def test_lengths_and_steps_of_feature_interpolation(
    known: dict[str, Any], shared: Path, vgg: VGGWeights, dtype: torch.dtype, tolerance: float
) -> None:
    facts = known["dfi"]
    found = []
    for name in facts["faces"]:
        with Image.open(shared / "data" / "lfw" / name.rpartition("_")[0] / name) as image:
            rgb = np.asarray(image.convert("RGB"), dtype=np.float64) / 255
        top, left = (rgb.shape[0] - 128) // 2, (rgb.shape[1] - 128) // 2
        crop = torch.from_numpy(rgb[top : top + 128, left : left + 128].transpose(2, 0, 1).copy())[None]
        found.append(feature_maps(encoder(vgg, dtype), crop.to(dtype), list(facts["layers"])))
    target, source = RunningMean(), RunningMean()
    for features in found[1:4]:
        target.add(features)
    for features in found[4:]:
        source.add(features)
    own, to, from_ = found[0], target.maps(), source.maps()
    way = {name: to[name] - from_[name] for name in own}
    # Means run in float32, whatever comes in; that is what the tolerance of the rest is for.
    rough = max(tolerance, 1e-5)
    asked = pushed("layer", 0.4, own, way)
    for name, values in facts["layers"].items():
        close(norm([own[name]]), values["phi_norm"], tolerance)
        close(norm([way[name]]), values["w_norm"], rough)
        close((own[name] - asked[name]).double().square().mean(), values["loss_at_input_alpha_0_4"], rough)
        alone = {name: way[name]}
        step = pushed("beta", 1.0, {name: torch.zeros_like(own[name])}, alone)[name]
        close(step.double().norm() / way[name].double().norm(), values["beta_scale"], rough)
