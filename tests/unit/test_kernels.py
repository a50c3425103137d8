"""The arithmetic of one layer against plain autograd."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from katazome.networks import kernels
from katazome.networks.kernels import Convolution, PaddingPair
from tests.reference import MODES

PADDINGS = list(itertools.product(MODES, MODES))
SIZES = [(2, 2), (2, 5), (7, 3), (8, 8)]


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def plain_pad(x: Tensor, padding: PaddingPair) -> Tensor:
    return F.pad(F.pad(x, (0, 0, 1, 1), MODES[padding[0]]), (1, 1, 0, 0), MODES[padding[1]])


@pytest.mark.parametrize("padding", PADDINGS, ids="-".join)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_padding_and_its_adjoint(padding, size):
    x = draw(2, 3, *size).requires_grad_()
    padded = plain_pad(x, padding)
    assert torch.equal(kernels.pad(x.detach(), padding), padded)
    g = draw(*padded.shape, seed=1)
    (expected,) = torch.autograd.grad(padded, x, g)
    torch.testing.assert_close(kernels.unpad(g.clone(), padding), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("padding", PADDINGS, ids="-".join)
@pytest.mark.parametrize("winograd", [False, True], ids=["direct", "winograd"])
@pytest.mark.parametrize("size", [*SIZES, (9, 13)], ids=str)
def test_convolution_forward_and_backward(padding, winograd, size):
    weight, bias = draw(6, 5, 3, 3, seed=2), draw(6, seed=3)
    x = draw(2, 5, *size).contiguous(memory_format=torch.channels_last).requires_grad_()
    expected = F.conv2d(plain_pad(x, padding), weight, bias)
    ready = Convolution("conv", weight.contiguous(memory_format=torch.channels_last), bias, winograd)
    found = ready.forward(x.detach(), padding)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)
    assert found.is_contiguous(memory_format=torch.channels_last)
    g = draw(*expected.shape, seed=4).contiguous(memory_format=torch.channels_last)
    (pulled,) = torch.autograd.grad(expected, x, g)
    torch.testing.assert_close(ready.backward(g, padding), pulled, rtol=1e-11, atol=1e-11)


def test_winograd_rounds_little_in_float32():
    weight = draw(256, 256, 3, 3, dtype=torch.float32) * (2 / (9 * 256)) ** 0.5
    x = draw(1, 256, 33, 30, seed=1, dtype=torch.float32).contiguous(memory_format=torch.channels_last)
    ready = Convolution("conv", weight, torch.zeros(256), winograd=True)
    expected = F.conv2d(x.double(), weight.double(), padding=1)
    difference = ready.forward(x, ("zeros", "zeros")) - expected
    assert difference.abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("size", [(2, 2), (5, 4), (7, 9)], ids=str)
def test_pooling_and_its_adjoint(kind, size):
    x = draw(2, 3, *size).requires_grad_()
    expected = F.max_pool2d(x, 2) if kind == "max" else F.avg_pool2d(x, 2)
    pooled, where = kernels.halve(x.detach(), kind)
    assert torch.equal(pooled, expected)
    g = draw(*expected.shape, seed=1)
    (pulled,) = torch.autograd.grad(expected, x, g)
    assert torch.equal(kernels.unhalve(g, where, size), pulled)


def test_the_mask_of_a_view_leaves_its_base_alone():
    base = draw(1, 2, 6, 6).contiguous(memory_format=torch.channels_last)
    before, activation = base.clone(), draw(1, 2, 4, 4, seed=1).contiguous(memory_format=torch.channels_last)
    view = base[:, :, 1:5, 1:5]
    masked = kernels.mask_by_sign(view, activation)
    assert torch.equal(masked, torch.where(activation > 0, view, 0.0))
    assert torch.equal(base, before)
