from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from katazome.errors import OptionError, PictureError
from katazome.pictures.read import read
from katazome.pictures.resize import parse_size, resize, resize_picture, shrink, shrink_five_tap


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1024", (683, 1024)),
        (1024, (683, 1024)),
        ("2048x1365", (1365, 2048)),
        ("2048 × 1365", (1365, 2048)),
        ("300X500", (500, 300)),
        ("50%", (1000, 1500)),
        ("12.5%", (250, 375)),
        ("1.5MP", (1000, 1500)),
        (" keep ", (2000, 3000)),
    ],
)
def test_parse_size(text, size):
    assert parse_size(text, (2000, 3000)) == size


@pytest.mark.parametrize(
    "text", ["", "big", "0", "0x5", "-5", "0%", "0MP", "1e3", "nan%", "10x", "9999999", "5x2000000"]
)
def test_parse_size_errors_show_examples(text):
    with pytest.raises(OptionError, match=r"1024 \(longest side\), 2048x1365"):
        parse_size(text, (20, 30))


@given(st.text(alphabet="0123456789.xX%MPkep ", max_size=12))
def test_parse_size_gives_a_size_or_a_sentence(text):
    try:
        height, width = parse_size(text, (20, 30))
    except OptionError:
        return
    assert min(height, width) >= 1


def test_a_thin_picture_keeps_one_pixel():
    assert parse_size("10", (1, 1000)) == (1, 10)


@pytest.mark.parametrize("channels", [1, 2, 3, 7])
@pytest.mark.parametrize("size", [(5, 40), (33, 21), (1, 1)])
def test_resize(channels, size):
    x = torch.rand(2, channels, 16, 24)
    y = resize(x, size)
    assert y.shape == (2, channels, *size)
    assert (y.amin((2, 3)) >= x.amin((2, 3))).all()
    assert (y.amax((2, 3)) <= x.amax((2, 3))).all()


def test_resize_keeps_flat_type_and_identity():
    x = torch.full((1, 3, 9, 9), 0.3)
    assert torch.allclose(resize(x, (5, 20)), torch.tensor(0.3))
    assert resize(x, (9, 9)) is x
    assert resize(x.bfloat16(), (4, 4)).dtype == torch.bfloat16


def test_resize_is_antialiased():
    fine = torch.arange(64).remainder(2).float().view(1, 1, 1, 64).expand(1, 1, 64, 64)
    assert (resize(fine, (13, 13)) - 0.5).abs().max() < 0.1


def test_what_lies_under_transparency_does_not_matter():
    x = torch.full((4, 16, 16), 0.8)
    x[3, :, 8:] = 0
    y = x.clone()
    y[:3, :, 8:] = 0
    for source in (x, y):
        small = resize_picture(read(source), (5, 5))
        assert (small.height, small.width) == (5, 5)
        assert torch.allclose(small.pixels, torch.tensor(0.8))
        assert small.alpha is not None
        assert small.alpha.shape == (1, 1, 5, 5)
    opaque = read(x[:3])
    assert resize_picture(opaque, (16, 16)) is opaque
    assert resize_picture(opaque, (8, 8)).alpha is None


def weights(operator: Callable[[torch.Tensor], torch.Tensor], side: int) -> torch.Tensor:
    """How much each input pixel counts in the sum of the output."""
    x = torch.zeros(1, 2, side, side, dtype=torch.float64, requires_grad=True)
    (total,) = torch.autograd.grad(operator(x).sum(), x)
    return total[0, 0]


def test_each_pixel_weighs_the_same_when_shrunk():
    assert torch.allclose(weights(shrink, 16), torch.tensor(0.25, dtype=torch.float64))
    assert torch.allclose(weights(lambda x: shrink(shrink(x)), 16), torch.tensor(1 / 16, dtype=torch.float64))
    assert torch.allclose(weights(shrink_five_tap, 32)[3:-4, 3:-4], torch.tensor(0.25, dtype=torch.float64))


def test_shrink_drops_an_odd_last_row_and_column():
    x = torch.arange(15.0).view(1, 1, 3, 5)
    assert shrink(x).tolist() == [[[[3, 5]]]]


def test_five_tap_sizes_and_values():
    x = torch.rand(1, 3, 512, 512)
    sizes = [512]
    for _ in range(4):
        x = shrink_five_tap(x)
        sizes.append(x.shape[-1])
    assert sizes == [512, 254, 125, 61, 29]
    taps = torch.tensor([0.05, 0.25, 0.4, 0.25, 0.05])
    assert torch.allclose(shrink_five_tap(torch.eye(5)[None, None])[0, 0, 0, 0], (taps * taps).sum())


@pytest.mark.parametrize("operator", [shrink, shrink_five_tap])
def test_shrinking_has_a_gradient_and_an_end(operator):
    x = torch.rand(1, 1, 7, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(operator, x)
    with pytest.raises(PictureError, match=r"1 x 9 pixels cannot be halved.*fewer octaves"):
        operator(torch.rand(1, 3, 9, 1))


@pytest.mark.parametrize("size", [(24, 40), (48, 80), (32, 56), (12, 20), (25, 41)])
@pytest.mark.parametrize("wrap", [(True, False), (False, True), (True, True)])
def test_periodic_resize_commutes_with_turning_the_picture_round(size, wrap):
    x = torch.rand(1, 2, 24, 40, generator=torch.Generator().manual_seed(3))
    for dim, periodic in enumerate(wrap, 2):
        if not periodic:
            continue
        old, new = x.shape[dim], size[dim - 2]
        by = old // math.gcd(old, new) if old != new else 5  # old pixels that are whole new ones
        turned = resize(torch.roll(x, by, dim), size, wrap)
        expected = torch.roll(resize(x, size, wrap), by * new // old, dim)
        assert torch.allclose(turned, expected, atol=1e-5)


def test_periodic_resize_is_the_plain_one_away_from_the_edge():
    x = torch.rand(1, 2, 24, 40, generator=torch.Generator().manual_seed(4))
    plain, periodic = resize(x, (48, 80)), resize(x, (48, 80), (True, True))
    assert torch.allclose(plain[..., 8:-8, 8:-8], periodic[..., 8:-8, 8:-8], atol=1e-5)
    assert not torch.allclose(plain[..., :2, :], periodic[..., :2, :], atol=1e-3)
