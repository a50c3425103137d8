"""Losses: hand numbers, gradients, guides, blends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from katazome.losses.base import Loss, Window
from katazome.losses.content import Content
from katazome.losses.gamut import Gamut
from katazome.losses.smoothness import Smoothness, squared_variation
from katazome.losses.style import GramStyle, Look, LookStatistics, MomentStyle, gram_loss
from katazome.statistics.moments import EPSILON

TAPS = ("relu1_1", "relu2_1")
WINDOW = Window(0, 6, 0, 8)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def features(seed: int = 0) -> dict[str, Tensor]:
    return {"relu1_1": draw(1, 3, 6, 8, seed=seed), "relu2_1": draw(1, 4, 3, 4, seed=seed + 1)}


def guides() -> dict[str, Tensor]:
    return {"relu1_1": draw(1, 1, 6, 8, seed=8), "relu2_1": draw(1, 1, 3, 4, seed=9)}


def value(loss: Loss, f: Mapping[str, Tensor], window: Window = WINDOW) -> Tensor:
    return loss.value(loss.partial(f, window))


def losses(guide: Mapping[str, Tensor] | None = None) -> list[Content | GramStyle | MomentStyle]:
    weights = {"relu1_1": 0.25, "relu2_1": 2.0}
    target = features(3)
    grams = {"relu1_1": draw(3, 3, seed=5), "relu2_1": draw(4, 4, seed=6)}
    moments = {"relu1_1": (draw(3, seed=5), draw(3)), "relu2_1": (draw(4, seed=6), draw(4))}
    return [
        Content(target, weights, guides=guide),
        GramStyle(grams, weights, guides=guide),
        MomentStyle(moments, weights, guides=guide),
    ]


def test_content_by_hand():
    f = {"relu1_1": torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])}
    target = {"relu1_1": torch.tensor([[[[1.0, 0.0]], [[0.0, 4.0]]]])}
    loss = Content(target, {"relu1_1": 2.0})
    window = Window(0, 1, 0, 2)
    assert float(value(loss, f, window)) == pytest.approx(2 * (4 + 9) / 4)
    guided = Content(target, {"relu1_1": 1.0}, guides={"relu1_1": torch.tensor([[[[1.0, 0.5]]]])})
    assert float(value(guided, f, window)) == pytest.approx((0.5 * 4 + 9) / (2 * 1.5))


def test_gram_style_by_hand():
    f = {"relu1_1": torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])}
    loss = GramStyle({"relu1_1": torch.tensor([[2.5, 5.5], [4.5, 12.5]])}, {"relu1_1": 3.0})
    # Gram matrix per position [[2.5, 5.5], [5.5, 12.5]]: one entry of four is off by one
    assert float(value(loss, f, Window(0, 1, 0, 2))) == pytest.approx(3 / 4)
    assert float(gram_loss(torch.zeros(2, 2), torch.tensor([[1.0, 2.0], [2.0, 0.0]]))) == 9 / 4


def test_moment_style_by_hand():
    f = {"relu1_1": torch.tensor([[[[1.0, 3.0]], [[3.0, 3.0]]]], dtype=torch.float64)}
    target = (torch.tensor([0.0, 3.0]), torch.tensor([1.0, 0.0]))
    loss = MomentStyle({"relu1_1": target}, {"relu1_1": 1.0})
    deviations = ((math.sqrt(1 + EPSILON) - 1) ** 2 + EPSILON) / 2
    assert float(value(loss, f, Window(0, 1, 0, 2))) == pytest.approx(4 / 2 + deviations)


def test_smoothness_by_hand():
    picture = torch.tensor([[[[0.0, 1.0, 3.0], [2.0, 2.0, 2.0]]]])
    # down: 4 + 1 + 1, across: 1 + 4
    assert float(squared_variation(picture)) == 11
    assert float(squared_variation(picture, (True, False))) == 11 + 6
    assert float(squared_variation(picture, (False, True))) == 11 + 9
    assert float(Smoothness(1.0).of(picture)) == pytest.approx(11 / 6)
    assert float(Smoothness(1.0, as_sum=True).of(picture)) == 11


@pytest.mark.parametrize("wrap", [(False, False), (True, False), (True, True)], ids=str)
def test_smoothness_gradient(wrap):
    picture = draw(1, 3, 4, 5).requires_grad_()
    assert torch.autograd.gradcheck(Smoothness(1.0, wrap=wrap).of, (picture,))


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("index", range(3), ids=["content", "gram", "moments"])
def test_gradients(index, guided):
    loss = losses(guides() if guided else None)[index]

    def of(*maps):
        return value(loss, dict(zip(TAPS, maps, strict=True)))

    assert torch.autograd.gradcheck(of, tuple(f.requires_grad_() for f in features().values()))


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("index", range(3), ids=["content", "gram", "moments"])
def test_windows_add_up(index, guided):
    loss = losses(guides() if guided else None)[index]
    assert isinstance(loss, Loss)
    f = features()
    total: dict[str, Tensor] = {}
    for window in (Window(0, 2, 0, 8), Window(2, 6, 0, 4), Window(2, 6, 4, 8)):
        part = {name: window.cut(m, name) for name, m in f.items()}
        for name, share in loss.partial(part, window).items():
            total[name] = total[name] + share if name in total else share
    torch.testing.assert_close(loss.value(total), value(loss, f), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("index", range(3), ids=["content", "gram", "moments"])
def test_what_it_aims_at_has_no_loss(index, guided):
    guide = guides() if guided else None
    f = features(3)
    statistics = LookStatistics(TAPS, TAPS, guide)
    look = Look.of(statistics.partial(f, WINDOW))
    weights = dict.fromkeys(TAPS, 1.0)
    aimed = [
        Content(f, weights, guides=guide),
        GramStyle(look.grams, weights, guides=guide),
        MomentStyle(look.deviations(), weights, guides=guide),
    ]
    assert float(value(aimed[index], f)) < 1e-25


def test_a_guide_shuts_out_where_it_is_zero():
    mask = {name: torch.ones_like(g) for name, g in guides().items()}
    for name, g in mask.items():
        g[..., g.shape[3] // 2 :] = 0
        assert name in TAPS
    for loss in losses(mask):
        f, other = features(), features()
        for g in other.values():
            g[..., g.shape[3] // 2 :] = 99
        torch.testing.assert_close(value(loss, f), value(loss, other))


def test_a_blend_of_looks_is_linear():
    statistics = LookStatistics(("relu1_1", "relu2_1"), ("relu2_1",))
    assert statistics.taps == TAPS
    one, two = (Look.of(statistics.partial(features(seed), WINDOW)) for seed in (0, 5))
    blend = Look.blend([one, two], [3, 1])
    for name in TAPS:
        torch.testing.assert_close(blend.grams[name], 0.75 * one.grams[name] + 0.25 * two.grams[name])
    assert list(blend.moments) == ["relu2_1"]
    torch.testing.assert_close(
        blend.moments["relu2_1"], 0.75 * one.moments["relu2_1"] + 0.25 * two.moments["relu2_1"]
    )
    # the blend of two pictures of one size is the look of both together, deviations too
    both = {name: torch.cat([a, features(5)[name]]) for name, a in features().items()}
    together = Look.of(statistics.partial(both, WINDOW))
    half = Look.blend([one, two], [0.5, 0.5])
    torch.testing.assert_close(half.grams["relu1_1"], together.grams["relu1_1"])
    for a, b in zip(half.deviations()["relu2_1"], together.deviations()["relu2_1"], strict=True):
        torch.testing.assert_close(a, b)
    same = Look.blend([one], [7])
    torch.testing.assert_close(same.grams["relu1_1"], one.grams["relu1_1"])


def test_layer_weights_are_factors():
    for loss in losses():
        f = features()
        kind: Any = type(loss)
        alone = {name: value(kind({name: loss.targets[name]}, {name: 1.0}), f) for name in TAPS}
        expected = sum(loss.layer_weights[name] * alone[name] for name in TAPS)
        torch.testing.assert_close(value(loss, f), expected)


def test_a_window_cuts_whole_strides():
    whole = torch.arange(40.0).view(1, 1, 5, 8)
    assert Window(0, 4, 0, 4).cut(whole, "relu2_1").shape[2:] == (2, 2)
    assert Window(4, 11, 12, 16).cut(whole, "relu2_1")[0, 0].tolist() == [[22, 23], [30, 31], [38, 39]]


@pytest.mark.parametrize("kind", ["gram", "moments", "content"])
def test_a_guide_that_vanishes_at_a_layer_says_nothing(kind: str) -> None:
    given = features(3)
    nowhere = {tap: torch.zeros(1, 1, *f.shape[2:]) for tap, f in given.items()}
    weights = dict.fromkeys(TAPS, 1.0)
    look = Look.of(LookStatistics(TAPS, TAPS).partial(features(1), WINDOW))
    losses: dict[str, Loss] = {
        "gram": GramStyle(look.grams, weights, guides=nowhere),
        "moments": MomentStyle(look.deviations(), weights, guides=nowhere),
        "content": Content({t: features(1)[t] for t in TAPS}, weights, guides=nowhere),
    }
    loss = losses[kind]
    leaves = {tap: f.detach().requires_grad_() for tap, f in given.items()}
    value = loss.value(loss.partial(leaves, WINDOW))
    value.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(value)
    assert all(leaf.grad is None or not leaf.grad.any() for leaf in leaves.values())


def test_gamut_counts_what_cannot_be_written() -> None:
    picture = torch.tensor([0.0, 0.5, 1.0, 1.5, -0.1, 1.0], dtype=torch.float64).view(1, 3, 1, 2)
    assert float(Gamut().of(picture)) == pytest.approx((0.25 + 0.01) / 6)
    inside = torch.rand(1, 3, 4, 4, dtype=torch.float64).requires_grad_()
    Gamut().of(inside).backward()  # type: ignore[no-untyped-call]
    assert inside.grad is not None
    assert not inside.grad.any()
