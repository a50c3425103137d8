"""Colour: luma and chroma, matching one picture's colours to another's, bleeding under transparency.

Luma is that of ITU-R BT.601, Y = 0.299 R + 0.587 G + 0.114 B on gamma-encoded values, as in YIQ,
YUV and YCbCr alike. Chroma is kept as (R-Y, G-Y, B-Y), the plane that those three span with
different axes; nothing here depends on the axes.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from katazome.errors import PictureError

_LUMA = (0.299, 0.587, 0.114)
_EPS = 1e-5  # added to covariances (Gatys' ColourControl.ipynb); a flat colour stays invertible
_CHUNK = 1 << 20  # pixels whose sums are taken in float64 at a time

MatchForm = Literal["sym", "pca", "cholesky"]


def luma(x: Tensor) -> Tensor:
    """Return BT.601 luma: (N,3,H,W) in [0,1] to (N,1,H,W) in [0,1]."""
    return torch.einsum("nchw,c->nhw", x, x.new_tensor(_LUMA)).unsqueeze(1)


def chroma(x: Tensor) -> Tensor:
    """Return the colour without its luma, (R-Y, G-Y, B-Y): (N,3,H,W); ``luma(x) + chroma(x)`` is ``x``."""
    return x - luma(x)


def with_luma_of(chroma_source: Tensor, luma_source: Tensor) -> Tensor:
    """Return the chroma of one picture under the luma of another, inside [0,1].

    Where that colour does not exist in sRGB it is desaturated just enough: luma and hue are kept
    exactly, where clamping would change both.

    Args:
        chroma_source: (N,3,H,W) in [0,1].
        luma_source: the same shape, or (N,1,H,W) if it is luma already.
    """
    y = luma_source if luma_source.shape[1] == 1 else luma(luma_source)
    y = y.clamp(0, 1)
    colour = chroma(chroma_source)
    # how far from grey each channel may go before it meets 0 or 1, as a share of how far it wants to
    room = torch.where(colour > 0, 1 - y, y) / colour.abs().clamp_min(torch.finfo(colour.dtype).tiny)
    return (y + colour * room.amin(1, keepdim=True).clamp_max(1)).clamp(0, 1)


def match_colour(
    source: Tensor,
    target: Tensor,
    *,
    source_weight: Tensor | None = None,
    target_weight: Tensor | None = None,
    form: MatchForm = "sym",
) -> Tensor:
    """Return ``source`` in the colours of ``target``: the linear map that gives it mean and covariance.

    For "colours of the content" the style is matched to the content before the transfer (Gatys 2016,
    "Preserving color in neural artistic style transfer"). Both covariances get 1e-5 on the diagonal.

    Args:
        source: (1,3,H,W) in [0,1], the picture to recolour.
        target: (1,3,H',W') in [0,1], the picture whose colours it takes.
        source_weight: (1,1,H,W) in [0,1], how much each pixel counts (its alpha, a region).
        target_weight: (1,1,H',W') likewise.
        form: which of the maps that fit: ``sym``, optimal transport, which moves colours least;
            ``pca``, the product of symmetric roots; ``cholesky``.

    Returns:
        (1,3,H,W), clamped to [0,1].

    Raises:
        PictureError: a weight is zero everywhere.
    """
    mean_s, cov_s = _colour_moments(source, source_weight)
    mean_t, cov_t = _colour_moments(target, target_weight)
    matrix = _transport(cov_s, cov_t, form).to(source)
    pixels = source.flatten(2) - mean_s.to(source).view(1, 3, 1)
    out = matrix @ pixels + mean_t.to(source).view(1, 3, 1)
    return out.view_as(source).clamp(0, 1)


def _colour_moments(x: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Weighted mean (3,) and covariance (3,3), float64, summed in chunks so that memory stays small."""
    pixels = x.detach().flatten(2)[0]
    weights = torch.ones_like(pixels[:1]) if weight is None else weight.detach().flatten(2)[0]
    # On the CPU, wherever the picture is: Apple's GPUs have no float64, and eigh needs it.
    total = 0.0
    first, second = torch.zeros(3, dtype=torch.float64), torch.zeros(3, 3, dtype=torch.float64)
    for start in range(0, pixels.shape[1], _CHUNK):
        p, w = (v[:, start : start + _CHUNK].to("cpu", torch.float64) for v in (pixels, weights))
        total += w.sum().item()
        first += (p * w).sum(1)
        second += (p * w) @ p.T
    if total <= 0:
        raise PictureError(
            "no colours to match: every pixel has weight zero; give a region or alpha with some"
        )
    mean = first / total
    cov = second / total - mean.outer(mean)
    return mean, cov + _EPS * torch.eye(3, dtype=cov.dtype, device=cov.device)


def _transport(source: Tensor, target: Tensor, form: MatchForm) -> Tensor:
    """The matrix A with A source A' = target."""
    if form == "cholesky":
        a, b = torch.linalg.cholesky(target), torch.linalg.cholesky(source)
        solved: Tensor = torch.linalg.solve_triangular(b, a, upper=False, left=False)
        return solved
    inverse = _power(source, -0.5)
    if form == "pca":
        return _power(target, 0.5) @ inverse
    root = _power(source, 0.5)
    return inverse @ _power(root @ target @ root, 0.5) @ inverse


def _power(matrix: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    # rounding can leave an eigenvalue of a rank-one covariance a hair below the eps that was added
    powered: Tensor = (vectors * values.clamp_min(_EPS * _EPS).pow(exponent)) @ vectors.mT
    return powered


def bleed(pixels: Tensor, alpha: Tensor) -> Tensor:
    """Replace the colour of fully transparent pixels by that of the visible ones nearby.

    What lies under transparency is arbitrary, often black; after this it no longer matters to
    resizing, to a convolution that reaches over the edge, or to a soft mask. Push-pull pyramid:
    visible colours are averaged downwards until every cell has one, then fill the holes upwards.
    Pixels with any opacity keep their colour. A wholly transparent picture becomes mid-grey.

    Args:
        pixels: (1,C,H,W) in [0,1].
        alpha: (1,1,H,W) in [0,1].
    """
    seen = alpha > 0
    if bool(seen.all()):
        return pixels
    if not bool(seen.any()):
        return torch.full_like(pixels, 0.5)
    return torch.where(seen, pixels, _fill(torch.where(seen, pixels, 0) * alpha, alpha))


def _fill(colour: Tensor, weight: Tensor) -> Tensor:
    """Colour everywhere, from colours already multiplied by their weights."""
    own = colour / weight.clamp_min(torch.finfo(weight.dtype).tiny)
    if bool((weight > 0).all()):
        return own
    # ceil_mode: a half cell at the border divides colour and weight alike, so their ratio is right
    coarse = _fill(F.avg_pool2d(colour, 2, ceil_mode=True), F.avg_pool2d(weight, 2, ceil_mode=True))
    filled = F.interpolate(coarse, size=weight.shape[-2:], mode="bilinear", align_corners=False)
    return torch.where(weight > 0, own, filled)
