"""Roots of covariances, and the map that whitens and colours."""

from __future__ import annotations

import torch

from katazome.losses.base import Window, per_position
from katazome.methods.transfer import ChannelStatistics
from katazome.methods.wct import coloured
from katazome.statistics.moments import covariance_sums, guide_sum, mean_and_covariance
from katazome.statistics.roots import inverse_root, root


def features(seed: int, channels: int = 6, height: int = 9, width: int = 12) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    mix = torch.randn(channels, channels, generator=draw).double()
    f = torch.randn(1, channels, height, width, generator=draw).double()
    return torch.einsum("oi,bihw->bohw", mix, f) + torch.arange(float(channels)).view(1, -1, 1, 1)


def sums(f: torch.Tensor, guide: torch.Tensor | None = None) -> torch.Tensor:
    return covariance_sums(f, guide) / guide_sum(f, guide)


def test_covariance_is_that_of_the_positions() -> None:
    f = features(0)
    mean, covariance = mean_and_covariance(sums(f))
    rows = f[0].flatten(1)
    torch.testing.assert_close(mean, rows.mean(1))
    torch.testing.assert_close(covariance, torch.cov(rows, correction=0))


def test_a_guide_is_a_weight() -> None:
    f, guide = features(0), torch.zeros(1, 1, 9, 12).double()
    guide[..., :5] = 1
    for got, wanted in zip(
        mean_and_covariance(sums(f, guide)), mean_and_covariance(sums(f[..., :5])), strict=True
    ):
        torch.testing.assert_close(got, wanted)
    soft = mean_and_covariance(sums(f, 0.25 * guide))
    torch.testing.assert_close(soft[1], mean_and_covariance(sums(f, guide))[1])


def test_sums_of_parts_are_those_of_the_whole() -> None:
    f = features(1).float()
    total = covariance_sums(f[:, :, :4]) + covariance_sums(f[:, :, 4:])
    assert total.dtype == torch.float64
    torch.testing.assert_close(total, covariance_sums(f))
    statistics = ChannelStatistics(("relu1_1",), covariances=True)
    shared = statistics.partial({"relu1_1": f}, Window(0, 9, 0, 12))
    torch.testing.assert_close(per_position(shared, "relu1_1"), sums(f))


def test_roots() -> None:
    covariance = mean_and_covariance(sums(features(2)))[1]
    half = root(covariance)
    torch.testing.assert_close(half @ half, covariance)
    torch.testing.assert_close(inverse_root(covariance) @ half, torch.eye(6).double())


def test_directions_without_variance_are_left_out() -> None:
    covariance = torch.diag(torch.tensor([4.0, 1.0, 1e-6, 0.0]).double())
    assert inverse_root(covariance).diagonal().tolist() == [0.5, 1.0, 0.0, 0.0]
    # rounding beside a loud channel is no variance
    loud = torch.diag(torch.tensor([1e6, 1e-3]).double())
    assert inverse_root(loud).diagonal().tolist() == [1e-3, 0.0]
    assert not inverse_root(torch.zeros(3, 3)).any()


def test_the_map_gives_the_styles_mean_and_covariance() -> None:
    content, style = features(3), features(4)
    made = coloured(sums(content), sums(style))(content)
    for got, wanted in zip(mean_and_covariance(sums(made)), mean_and_covariance(sums(style)), strict=True):
        torch.testing.assert_close(got, wanted)


def test_a_flat_picture_takes_the_styles_mean() -> None:
    flat = torch.full((1, 6, 4, 4), 0.7).double()
    style = features(5)
    made = coloured(sums(flat), sums(style))(flat)
    torch.testing.assert_close(made[0, :, 0, 0], mean_and_covariance(sums(style))[0])
    back = coloured(sums(style), sums(flat))(style)
    torch.testing.assert_close(back, torch.full_like(back, 0.7), atol=1e-2, rtol=0)
