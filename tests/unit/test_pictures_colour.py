from __future__ import annotations

import pytest
import torch

from katazome.errors import PictureError
from katazome.pictures.colour import bleed, chroma, luma, match_colour, with_luma_of


def noise(seed: int, height: int = 24, width: int = 31) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def moments(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = x.double().flatten(2)[0]
    mean = pixels.mean(1, keepdim=True)
    return mean[:, 0], (pixels - mean) @ (pixels - mean).T / pixels.shape[1]


def soft(seed: int, mean: tuple[float, float, float], spread: float) -> torch.Tensor:
    """Colours well inside [0,1], correlated, so that no clamping blurs the comparison."""
    mixing = spread * (torch.eye(3) + torch.rand(3, 3, generator=torch.Generator().manual_seed(seed + 50)))
    pixels = mixing @ (noise(seed).flatten(2)[0] - 0.5)
    return (pixels + torch.tensor(mean).view(3, 1)).view(1, 3, 24, 31)


def test_luma_and_chroma():
    x = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    assert luma(x).item() == pytest.approx(0.299)
    assert luma(torch.ones(1, 3, 2, 2)).flatten().tolist() == pytest.approx([1] * 4)
    x = noise(0)
    assert torch.allclose(luma(x) + chroma(x), x, atol=1e-6)
    assert luma(chroma(x)).abs().max() < 1e-6


def test_with_luma_of():
    colours, light = noise(1), noise(2)
    out = with_luma_of(colours, light)
    assert 0 <= float(out.min()) <= float(out.max()) <= 1
    assert torch.allclose(luma(out), luma(light), atol=1e-5)
    assert torch.allclose(with_luma_of(colours, luma(light)), out)
    assert torch.allclose(with_luma_of(colours, colours), colours, atol=1e-5)
    # desaturated where it must be, but never of another hue
    a, b = chroma(out), chroma(colours)
    assert ((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)).clamp_min(1e-9))[
        a.norm(dim=1) > 1e-3
    ].min() > 0.999


@pytest.mark.parametrize("form", ["sym", "pca", "cholesky"])
def test_match_colour_takes_mean_and_covariance(form):
    source, target = soft(0, (0.5, 0.45, 0.5), 0.3), soft(3, (0.4, 0.5, 0.6), 0.2)
    out = match_colour(source, target, form=form)
    for got, expected in zip(moments(out), moments(target), strict=True):
        assert torch.allclose(got, expected, atol=2e-4)


def test_optimal_transport_moves_least():
    source, target = soft(0, (0.5, 0.45, 0.5), 0.3), soft(3, (0.4, 0.5, 0.6), 0.2)
    moved = {
        f: (match_colour(source, target, form=f) - source).square().mean() for f in ("sym", "pca", "cholesky")
    }
    assert moved["sym"] <= min(moved["pca"], moved["cholesky"])


def test_match_colour_to_itself_changes_nothing():
    x = soft(4, (0.5, 0.5, 0.5), 0.25)
    assert torch.allclose(match_colour(x, x), x, atol=1e-4)


def test_match_colour_survives_flat_pictures():
    flat = torch.full((1, 3, 4, 4), 0.2)
    assert torch.isfinite(match_colour(noise(0), flat)).all()
    assert torch.allclose(match_colour(flat, noise(0)), noise(0).mean((2, 3), keepdim=True), atol=1e-5)


def test_weights_choose_what_counts():
    source, target = soft(0, (0.5, 0.45, 0.5), 0.3), soft(3, (0.4, 0.5, 0.6), 0.2)
    spoiled, weight = target.clone(), torch.ones(1, 1, 24, 31)
    spoiled[..., 20:], weight[..., 20:] = 0, 0
    a = match_colour(source, spoiled, target_weight=weight)
    assert torch.allclose(a, match_colour(source, target[..., :20]), atol=1e-5)
    b = match_colour(spoiled, source, source_weight=weight)
    assert torch.allclose(b[..., :20], match_colour(target[..., :20], source), atol=1e-5)
    with pytest.raises(PictureError, match="weight zero"):
        match_colour(source, target, source_weight=torch.zeros_like(weight))


def test_bleed_forgets_what_was_hidden():
    x, alpha = noise(0), torch.zeros(1, 1, 24, 31)
    alpha[..., 8:15, 10:20] = 1
    alpha[..., 8, 10:20] = 0.25
    hidden = torch.where(alpha > 0, x, 1 - x)
    out = bleed(x, alpha)
    assert torch.equal(out, bleed(hidden, alpha))
    assert torch.equal(out * (alpha > 0), x * (alpha > 0))
    assert 0 <= float(out.min()) <= float(out.max()) <= 1


def test_bleed_takes_the_nearest_colours():
    x, alpha = torch.zeros(1, 3, 33, 47), torch.zeros(1, 1, 33, 47)
    x[:, 0, :, :5], x[:, 2, :, -5:] = 1, 1
    alpha[..., :5], alpha[..., -5:] = 1, 1
    out = bleed(x, alpha)
    assert out[0, 0, 16, 6] > 0.9
    assert out[0, 2, 16, -7] > 0.9


def test_bleed_at_the_ends():
    x = noise(0)
    assert bleed(x, torch.ones(1, 1, 24, 31)) is x
    assert bleed(x, torch.zeros(1, 1, 24, 31)).sub(0.5).abs().max() == 0
    one = torch.zeros(1, 1, 24, 31)
    one[..., 3, 4] = 1
    assert torch.allclose(bleed(x, one), x[..., 3:4, 4:5].expand_as(x))
