"""Statistics as sums: hand numbers, gradients, guides, and that sums of parts are the sum of the whole."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from katazome.statistics.gram import gram_sum, position_sum
from katazome.statistics.guides import carry
from katazome.statistics.moments import EPSILON, guide_sum, mean_and_deviation, moment_sums


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# two channels over 1 x 3 positions
FEATURES = torch.tensor([[[[1.0, 2.0, 3.0]], [[4.0, 0.0, -1.0]]]], dtype=torch.float64)
GUIDE = torch.tensor([[[[1.0, 0.5, 0.0]]]], dtype=torch.float64)


def test_gram_by_hand():
    assert gram_sum(FEATURES).tolist() == [[14, 1], [1, 17]]
    assert float(position_sum(FEATURES)) == 3
    assert gram_sum(FEATURES, GUIDE).tolist() == [[2, 4], [4, 16]]  # squares of the guide: 1, 1/4, 0
    assert float(position_sum(FEATURES, GUIDE)) == 1.25


def test_moments_by_hand():
    assert moment_sums(FEATURES).tolist() == [[6, 3], [14, 17]]
    assert float(guide_sum(FEATURES)) == 3
    assert moment_sums(FEATURES, GUIDE).tolist() == [[2, 4], [3, 16]]
    assert float(guide_sum(FEATURES, GUIDE)) == 1.5
    mean, deviation = mean_and_deviation(moment_sums(FEATURES) / guide_sum(FEATURES))
    assert mean.tolist() == [2, 1]
    expected = torch.tensor([2 / 3, 14 / 3], dtype=torch.float64) + EPSILON
    torch.testing.assert_close(deviation, expected.sqrt())


def test_a_flat_channel_has_a_finite_deviation_and_gradient():
    features = torch.full((1, 2, 4, 4), 3.3).requires_grad_()
    _, deviation = mean_and_deviation(moment_sums(features) / guide_sum(features))
    deviation.sum().backward()  # type: ignore[no-untyped-call]
    assert (deviation < 0.01).all()
    assert features.grad is not None
    assert features.grad.isfinite().all()


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("statistic", [gram_sum, moment_sums])
def test_gradients(statistic, guided, batch):
    guide = draw(1, 1, 3, 4, seed=1) if guided else None
    features = draw(batch, 5, 3, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: statistic(f, guide), (features,))


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize(
    "statistic", [gram_sum, moment_sums, position_sum, guide_sum], ids=lambda s: s.__name__
)
def test_sums_of_parts_add_up(statistic, guided):
    features, guide = draw(2, 5, 7, 9), draw(1, 1, 7, 9, seed=1) if guided else None
    whole = statistic(features, guide)
    parts = [
        statistic(features[:, :, rows, columns], None if guide is None else guide[:, :, rows, columns])
        for rows in (slice(0, 3), slice(3, 7))
        for columns in (slice(0, 8), slice(8, 9))
    ]
    torch.testing.assert_close(torch.stack(parts).sum(0), whole, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("statistic", [gram_sum, moment_sums, position_sum, guide_sum])
def test_a_guide_counts_for_every_picture_of_a_batch(statistic):
    features, guide = draw(2, 5, 3, 4), draw(1, 1, 3, 4, seed=1)
    apart = statistic(features[:1], guide) + statistic(features[1:], guide)
    torch.testing.assert_close(statistic(features, guide), apart)


@pytest.mark.parametrize("statistic", [gram_sum, moment_sums])
def test_a_guide_of_ones_is_no_guide(statistic):
    features = draw(1, 5, 3, 4)
    torch.testing.assert_close(statistic(features, torch.ones(1, 1, 3, 4)), statistic(features))


@pytest.mark.parametrize("statistic", [gram_sum, moment_sums])
def test_bfloat16_is_summed_in_float32(statistic):
    features = (3 * draw(1, 4, 64, 64)).bfloat16()
    found, expected = statistic(features), statistic(features.double())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0)
    leaf = features.clone().requires_grad_()
    statistic(leaf).sum().backward()
    wide = features.double().requires_grad_()
    statistic(wide).sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.dtype == torch.bfloat16
    torch.testing.assert_close(leaf.grad.double(), wide.grad, rtol=0.02, atol=0.02)


def test_a_region_is_carried_by_area():
    region = draw(1, 1, 37, 50)
    carried = carry(region, ["relu1_1", "r31", "pool3"])
    assert {name: tuple(g.shape[2:]) for name, g in carried.items()} == {
        "relu1_1": (37, 50),
        "relu3_1": (9, 12),
        "pool3": (4, 6),
    }
    assert torch.equal(carried["relu1_1"], region)
    torch.testing.assert_close(carried["pool3"][0, 0, 1, 2], region[0, 0, 8:16, 16:24].mean())


def test_inside_keeps_what_sees_little_beyond_the_region():
    region = torch.zeros(1, 1, 192, 192)
    region[..., :128] = 1
    simple, inside = (carry(region, ["relu3_1", "relu4_1", "relu5_1"], inside=i) for i in (False, True))
    assert torch.equal(simple["relu3_1"], inside["relu3_1"])
    # 30 px beyond its own 8 seen, 24 forgiven: one position; 70 beyond 16, 48 forgiven: two
    assert inside["relu4_1"][0, 0].sum(1).tolist() == [15] * 24
    assert inside["relu5_1"][0, 0].sum(1).tolist() == [6] * 12
    small = torch.zeros(1, 1, 192, 192)
    small[..., 80:112, 80:112] = 1
    assert torch.equal(
        carry(small, ["relu5_1"], inside=True)["relu5_1"], carry(small, ["relu5_1"])["relu5_1"]
    )
