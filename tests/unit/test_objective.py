"""The objective: octaves, terms, tiles and halos by hand, whole = plain autograd."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from katazome.losses.content import Content
from katazome.losses.smoothness import Smoothness, squared_variation
from katazome.losses.style import GramStyle, Look, LookStatistics, MomentStyle
from katazome.networks.kernels import PaddingPair
from katazome.networks.vgg import Encoder, EncoderSettings
from katazome.objective import tiles as cutting
from katazome.objective.tiles import ALIGNMENT, halo, tiles
from katazome.objective.whole import Objective, Octave, feature_maps, gather
from katazome.pictures.resize import shrink, shrink_five_tap
from tests import reference
from tests.tiny import tiny_vgg

TINY = tiny_vgg(1)
STYLE = ("relu1_1", "relu2_1", "relu3_1")


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def encoder(padding: PaddingPair = ("zeros", "zeros")) -> Encoder:
    return Encoder(TINY, EncoderSettings(dtype=torch.float64, padding=padding))


def style(e: Encoder, seed: int = 9, weight: float = 3.0, taps: tuple[str, ...] = STYLE) -> GramStyle:
    look = Look.of(gather(e, draw(1, 3, 40, 50, seed=seed), LookStatistics(taps)))
    return GramStyle(look.grams, dict.fromkeys(taps, 1 / len(taps)), weight)


def content(e: Encoder, size: tuple[int, int], weight: float = 1.0, tap: str = "relu3_2") -> Content:
    return Content(feature_maps(e, draw(1, 3, *size, seed=7), [tap]), {tap: 1.0}, weight)


def plain(
    picture: Tensor,
    gram_targets: Mapping[str, Tensor],
    content_targets: Mapping[str, Tensor],
    shrinker: Callable[[Tensor], Tensor],
) -> Tensor:
    """Both losses at two octaves, and smoothness, written down once more in plain autograd."""
    total = picture.new_zeros(())
    for level, weight in ((picture, 3.0), (shrinker(picture), 0.5)):
        f = reference.encode(TINY, level, STYLE, ("zeros", "zeros"), "max")
        for name in STYLE:
            flat = f[name].flatten(2)[0]
            gram = flat @ flat.T / flat.shape[1]
            total = total + weight / 3 * (gram - gram_targets[name]).square().mean()
    f = reference.encode(TINY, picture, ["relu3_2"], ("zeros", "zeros"), "max")
    total = total + (f["relu3_2"] - content_targets["relu3_2"]).square().mean()
    return total + 0.1 * squared_variation(picture) / (picture.shape[2] * picture.shape[3])


@pytest.mark.parametrize("shrinker", [shrink, shrink_five_tap])
@pytest.mark.parametrize("tile", [None, 32])
def test_value_and_gradient_are_those_of_autograd(shrinker, tile):
    e = encoder()
    picture = draw(1, 3, 71, 90)
    look, held = style(e), content(e, (71, 90))
    again = GramStyle(look.targets, look.layer_weights, 0.5)
    octaves = [Octave(0, (look, held)), Octave(1, (again,))]
    found = Objective(e, octaves, shrinker, [Smoothness(0.1)], tile)(picture)
    leaf = picture.clone().requires_grad_()
    expected = plain(leaf, look.targets, held.targets, shrinker)
    expected.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(found.total, expected.detach(), rtol=1e-12, atol=0)
    torch.testing.assert_close(found.gradient, leaf.grad, rtol=1e-9, atol=1e-12)
    assert list(found.terms) == ["style", "content", "smoothness"]
    torch.testing.assert_close(sum(found.terms.values()), found.total)
    assert not found.total.requires_grad
    assert not found.gradient.requires_grad


def test_octaves_of_the_same_name_add_up():
    e = encoder()
    picture = draw(1, 3, 64, 64)
    parts = [Objective(e, [Octave(k, (style(e),))], shrink)(picture) for k in (0, 1, 2)]
    whole = Objective(e, [Octave(k, (style(e),)) for k in (0, 1, 2)], shrink)(picture)
    torch.testing.assert_close(whole.total, torch.stack([p.total for p in parts]).sum())
    torch.testing.assert_close(whole.gradient, torch.stack([p.gradient for p in parts]).sum(0))


@pytest.mark.parametrize("tile", [None, 32])
def test_two_losses_of_one_name_add_up(tile):
    e = encoder()
    picture = draw(1, 3, 64, 64)
    found = Objective(e, [Octave(0, (style(e, 9), style(e, 11)))], shrink, (), tile)(picture)
    parts = [Objective(e, [Octave(0, (style(e, s),))], shrink)(picture) for s in (9, 11)]
    torch.testing.assert_close(found.terms["style"], parts[0].total + parts[1].total)
    torch.testing.assert_close(found.gradient, parts[0].gradient + parts[1].gradient)


def test_an_octave_or_an_objective_without_losses():
    e = encoder()
    picture = draw(1, 3, 64, 64)
    alone = Objective(e, [Octave(0, (style(e),))], shrink)(picture)
    beside = Objective(e, [Octave(0, (style(e),)), Octave(1, ())], shrink)(picture)
    assert torch.equal(beside.total, alone.total)
    assert torch.equal(beside.gradient, alone.gradient)
    nothing = Objective(e, [Octave(0, ())], shrink)(picture)
    assert float(nothing.total) == 0
    assert torch.equal(nothing.gradient, torch.zeros_like(picture))
    smooth = Objective(e, [], shrink, [Smoothness(2.0)])(picture)
    assert float(smooth.total) == pytest.approx(2 * float(Smoothness(1.0).of(picture)))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_callers_gradient_mode_does_not_matter(mode):
    e = encoder()
    picture = draw(1, 3, 40, 40)
    objective = Objective(e, [Octave(0, (style(e),)), Octave(1, (style(e),))], shrink, [Smoothness(0.1)])
    expected = objective(picture)
    with mode():
        before = torch.is_grad_enabled()
        found, made_inside = objective(picture), objective(picture.clone())
        assert torch.is_grad_enabled() == before
    for evaluation in (found, made_inside):
        assert torch.equal(evaluation.total, expected.total)
        assert torch.equal(evaluation.gradient, expected.gradient)


def test_the_picture_is_left_as_it_was():
    e = encoder()
    picture = draw(1, 3, 40, 40).requires_grad_()
    before = picture.detach().clone()
    Objective(e, [Octave(0, (style(e),))], shrink, [Smoothness(0.1)])(picture)
    assert picture.grad is None
    assert torch.equal(picture, before)


def test_the_gradient_belongs_to_the_caller():
    e = encoder()
    objective = Objective(e, [Octave(0, (style(e),))], shrink)
    first = objective(draw(1, 3, 40, 40)).gradient
    kept = first.clone()
    objective(draw(1, 3, 40, 40, seed=3))
    assert torch.equal(first, kept)


def test_halos_are_the_radii_aligned():
    names: tuple[list[str], ...] = (
        [],
        ["relu1_1"],
        ["relu3_1", "relu2_1"],
        ["relu4_1"],
        ["relu4_2"],
        ["relu5_1"],
    )
    assert [halo(n) for n in names] == [0, 32, 32, 32, 64, 96]


@pytest.mark.parametrize("core", [32, 50, 64, 100, 1000])
@pytest.mark.parametrize("size", [(64, 96), (33, 161), (97, 95), (15, 200)], ids=str)
def test_cores_part_the_picture(size, core):
    seen = torch.zeros(size, dtype=torch.int64)
    for tile in tiles(size[0], size[1], ["relu4_2"], core):
        c, o = tile.core, tile.outer
        seen[c.top : c.bottom, c.left : c.right] += 1
        assert max(c.bottom - c.top, c.right - c.left) <= -(-core // ALIGNMENT) * ALIGNMENT + 8
        for low, high, outer_low, outer_high, end in (
            (c.top, c.bottom, o.top, o.bottom, size[0]),
            (c.left, c.right, o.left, o.right, size[1]),
        ):
            assert low % ALIGNMENT == outer_low % ALIGNMENT == 0
            assert outer_low == max(0, low - 64)
            assert outer_high == min(end, high + 64)
            assert high == end or high % ALIGNMENT == 0
    assert (seen == 1).all()


@pytest.mark.parametrize("wrap", [(False, False), (True, False), (True, True)], ids=str)
def test_adding_a_tile_is_the_adjoint_of_cutting_it(wrap):
    picture = draw(1, 3, 64, 96)
    for tile in tiles(64, 96, ["relu4_2"], 32, wrap):
        part = tile.cut(picture)
        other, back = draw(*part.shape, seed=2), torch.zeros_like(picture)
        tile.add(back, other)
        torch.testing.assert_close((part * other).sum(), (picture * back).sum())


def test_a_wrapped_side_of_broken_strides_is_not_cut():
    """Only a periodic picture of whole strides has periodic features."""
    grid = list(tiles(64, 72, ["relu5_1"], 32, (True, True)))
    assert [(t.outer.left, t.outer.right) for t in grid] == [(0, 72)] * 2
    e = encoder(padding=("circular", "circular"))
    picture, look = draw(1, 3, 64, 72), style(e, taps=("relu2_1", "relu5_1"))
    whole, tiled = (Objective(e, [Octave(0, (look,))], shrink, (), t)(picture) for t in (None, 32))
    torch.testing.assert_close(tiled.gradient, whole.gradient, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("names", [("relu4_2", "pool1"), ("conv5_1",)])
def test_feature_maps_in_tiles(names):
    for size in ((70, 101), (128, 64)):
        picture = draw(1, 3, *size)
        whole = encoder()(picture, names)
        for name, found in feature_maps(encoder(), picture, names, 32).items():
            torch.testing.assert_close(found, whole[name], rtol=1e-12, atol=1e-12)
    assert set(feature_maps(encoder(), draw(1, 3, 32, 32), ["r11"])) == {"relu1_1"}


def test_a_halo_too_small_is_a_wrong_gradient(monkeypatch):
    e = encoder()
    picture = draw(1, 3, 96, 128)
    losses = (style(e, taps=("relu4_2",)), content(e, (96, 128), tap="relu4_2"))

    def gradient(tile: int | None) -> Tensor:
        return Objective(e, [Octave(0, losses)], shrink, (), tile)(picture).gradient

    whole = gradient(None)
    assert float((gradient(32) - whole).abs().max()) < 1e-12 * float(whole.abs().max())
    monkeypatch.setattr(cutting, "halo", lambda taps: 32)
    assert float((gradient(32) - whole).abs().max()) > 1e-3 * float(whole.abs().max())


def test_moments_gathered_in_tiles():
    e = encoder()
    picture = draw(1, 3, 100, 70)
    statistics = LookStatistics(("relu3_1",), ("relu4_1", "pool2"))
    whole, tiled = gather(e, picture, statistics), gather(e, picture, statistics, 32)
    assert set(whole) == set(tiled)
    for name, value in whole.items():
        torch.testing.assert_close(tiled[name], value, rtol=1e-12, atol=1e-12)
        assert not value.requires_grad


def test_moment_loss_goes_down_along_its_gradient():
    e = encoder()
    look = Look.of(gather(e, draw(1, 3, 40, 50, seed=9), LookStatistics((), STYLE)))
    loss = MomentStyle(look.deviations(), dict.fromkeys(STYLE, 1.0))
    objective = Objective(e, [Octave(0, (loss,))], shrink)
    picture = draw(1, 3, 40, 40)
    here = objective(picture)
    there = objective(picture - 1e-4 * here.gradient / here.gradient.norm())
    slope = float(here.total - there.total) / 1e-4
    assert slope == pytest.approx(float(here.gradient.norm()), rel=0.01)
