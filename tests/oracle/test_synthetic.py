"""A small network on small pictures, both made by formulas, against numpy: this oracle runs everywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from katazome.losses.base import Loss
from katazome.losses.content import Content
from katazome.losses.smoothness import Smoothness
from katazome.losses.style import GramStyle, Look, LookStatistics
from katazome.networks.vgg import Encoder, EncoderSettings
from katazome.objective.whole import Objective, Octave, feature_maps, gather
from katazome.pictures.resize import shrink, shrink_five_tap
from katazome.statistics.gram import gram_sum, position_sum
from katazome.statistics.guides import carry
from katazome.weights.flavours import VGGWeights
from tests.oracle import make_synthetic as made

KNOWN: dict[str, Any] = json.loads(Path(__file__).with_name("synthetic.json").read_text())
PRECISIONS = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)], ids=["float64", "float32"]
)
COMBINATIONS = pytest.mark.parametrize("combination", KNOWN["combinations"])


def tensor(array: Any, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.from_numpy(array).to(dtype)


def picture(size: tuple[int, int], phase: float, dtype: torch.dtype) -> Tensor:
    return tensor(made.picture(*size, phase)).unsqueeze(0).to(dtype)


def between(dtype: torch.dtype) -> Tensor:
    return (0.7 * picture(made.SIZE, 0.2, torch.float64) + 0.3 * picture(made.SIZE, 1.9, torch.float64)).to(
        dtype
    )


def encoder(combination: str, dtype: torch.dtype) -> Encoder:
    convs = {f"conv{name}": (tensor(w), tensor(b)) for name, (w, b) in made.network().items()}
    matrix, bias = (tensor(t) for t in made.colour())
    weights = VGGWeights(name="made", flavour="normalised", sha256="", colour=(matrix, bias), convs=convs)
    padding: Any
    pooling: Any
    padding, pooling = combination.split("/")
    return Encoder(weights, EncoderSettings(dtype=dtype, padding=(padding, padding), pooling=pooling))


def close(found: Tensor | float, expected: float, tolerance: float) -> None:
    assert float(found) == pytest.approx(expected, rel=tolerance, abs=tolerance * 1e-3)


@PRECISIONS
@COMBINATIONS
def test_features(combination, dtype, tolerance):
    expected = KNOWN["combinations"][combination]["features"]
    found = encoder(combination, dtype)(picture(made.SIZE, 0.2, dtype), list(expected))
    for name, values in expected.items():
        f = found[name]
        assert list(f.shape[1:]) == values["shape"]
        close(f.mean(), values["mean"], tolerance)
        close(f.square().mean().sqrt(), values["rms"], tolerance)
        gram = gram_sum(f) / position_sum(f)
        close(gram.norm(), values["gram_frobenius"], tolerance)
        assert float(gram[0, 1]) == pytest.approx(
            values["gram_0_1"], abs=tolerance * values["gram_frobenius"]
        )


@PRECISIONS
@COMBINATIONS
def test_base_loss_and_its_gradient(combination, dtype, tolerance):
    expected = KNOWN["combinations"][combination]
    e = encoder(combination, dtype)
    look = Look.of(gather(e, picture(made.STYLE_SIZE, 1.9, dtype), LookStatistics(made.STYLE)))
    held = feature_maps(e, picture(made.SIZE, 0.2, dtype), [made.CONTENT])
    losses: list[Loss] = [Content(held, {made.CONTENT: 1.0})]
    losses += [GramStyle({n: look.grams[n]}, {n: 1 / 5}, 100.0, name=n) for n in made.STYLE]
    found = Objective(e, [Octave(0, tuple(losses))], shrink, [Smoothness(0.1)])(between(dtype))
    assert set(found.terms) == set(expected["terms"])
    for name, value in expected["terms"].items():
        close(found.terms[name], value, tolerance)
    size = expected["gradient_l2"]
    close(found.gradient.norm(), size, tolerance)
    for place, value in expected["gradient_at"].items():
        row, column = (int(n) for n in place.split(","))
        pixel = found.gradient[0, :, row, column].double()
        expected_pixel = torch.tensor(value, dtype=torch.float64)
        torch.testing.assert_close(pixel, expected_pixel, rtol=tolerance, atol=tolerance * size)


@PRECISIONS
def test_guided_gram(dtype, tolerance):
    ramp = ((torch.arange(made.SIZE[1], dtype=torch.float64) - 8) / 16).clamp(0, 1)
    mask = ramp.expand(1, 1, *made.SIZE).to(dtype)
    statistics = LookStatistics(made.STYLE, guides=carry(mask, made.STYLE))
    look = Look.of(gather(encoder("zeros/max", dtype), picture(made.SIZE, 0.2, dtype), statistics))
    for name, value in KNOWN["guided_gram"].items():
        close(look.grams[name].norm(), value, tolerance)


@PRECISIONS
def test_octaves(dtype, tolerance):
    e = encoder("zeros/average", dtype)
    style, octaves = picture(made.STYLE_SIZE, 1.9, dtype), []
    for k in range(2):
        look = Look.of(gather(e, style, LookStatistics(("pool1", "relu3_2"))))
        for name, gram in look.grams.items():
            octaves.append(Octave(k, (GramStyle({name: gram}, {name: 1.0}, name=f"octave{k}/{name}"),)))
        style = shrink_five_tap(style)
    found = Objective(e, octaves, shrink_five_tap)(between(dtype))
    assert set(found.terms) == set(KNOWN["octaves"])
    for name, value in KNOWN["octaves"].items():
        close(found.terms[name], value, tolerance)


def test_the_values_are_what_the_script_makes() -> None:
    assert made.guided() == pytest.approx(KNOWN["guided_gram"], rel=1e-12)
    assert made.octaves() == pytest.approx(KNOWN["octaves"], rel=1e-12)
    again = made.combination("replicate", "max", whole_gradient=False)
    known = KNOWN["combinations"]["replicate/max"]
    assert again["terms"] == pytest.approx(known["terms"], rel=1e-12)
    for place, value in again["gradient_at"].items():
        assert value == pytest.approx(known["gradient_at"][place], rel=1e-10)
