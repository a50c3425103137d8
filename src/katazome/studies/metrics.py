"""Measures of pictures that no loss of ours optimises, and of structure at coarse scales.

A style loss says little about itself. Textures are compared through a small network with fixed
random filters that nothing here ever descends on [random filters carry texture: Ustyuzhaninov
et al., "What does it take to generate natural textures?", ICLR 2017], by the sliced Wasserstein
distance of their feature distributions [Heitz et al., "A sliced Wasserstein loss for neural
texture synthesis", CVPR 2021].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from katazome.device import exact_dtype, generator
from katazome.losses.style import Look, LookStatistics, gram_loss
from katazome.networks.vgg import Encoder
from katazome.objective.whole import feature_maps, gather
from katazome.pictures.resize import shrink_five_tap
from katazome.statistics.moments import EPSILON

_BORDER = ("reflect", "reflect")
_WIDTHS = (3, 48, 64, 96)
_SEED = 20171101
_QUANTILES = 4096
_DIRECTIONS = 128


def octave(picture: Tensor, halvings: int) -> Tensor:
    """Return ``picture`` (1, C, H, W) halved so many times."""
    for _ in range(halvings):
        picture = shrink_five_tap(picture, _BORDER)
    return picture


def random_features(picture: Tensor) -> list[Tensor]:
    """Return features (C, positions) of three layers of random 5x5 filters with ReLU and 2x2 averages."""
    g = generator(_SEED)
    features, x = [], (picture - 0.5) * 4
    for inward, outward in pairwise(_WIDTHS):
        weight = torch.randn(outward, inward, 5, 5, generator=g)
        # No mean: brightness alone should not answer everywhere.
        weight = weight - weight.mean((2, 3), keepdim=True) * (inward > 3)
        weight = weight / weight.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        x = F.relu(F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), weight.to(x)))
        features.append(x.flatten(2)[0])
        x = F.avg_pool2d(x, 2)
    return features


def sliced_wasserstein(a: Tensor, b: Tensor) -> float:
    """Root mean squared distance of quantiles over random directions of two sets (C, N) and (C, M)."""
    return float((quantiles(a) - quantiles(b)).square().mean().sqrt())


def quantiles(features: Tensor) -> Tensor:
    """Return the quantiles (directions, 4096) of a set (C, N) along fixed random directions."""
    directions = torch.randn(_DIRECTIONS, features.shape[0], generator=generator(_SEED))
    directions = (directions / directions.norm(dim=1, keepdim=True)).to(features)
    places = (torch.arange(_QUANTILES, dtype=torch.float64) + 0.5) / _QUANTILES
    return _at(torch.sort(directions @ features, dim=1).values, places)


def _at(values: Tensor, places: Tensor) -> Tensor:
    """Return the quantiles at ``places`` of sorted rows (rows, N)."""
    index = (places * values.shape[1]).long().clamp_max(values.shape[1] - 1)
    return values[:, index]


def texture_distance(result: Tensor, source: Tensor, halvings: int) -> float:
    """Return the sliced Wasserstein distance of random features at an octave, mean over three layers.

    Both pictures (1, 3, H, W) in [0, 1] must show the texture at the same scale.
    """
    with torch.no_grad():
        pairs = zip(
            random_features(octave(result, halvings)), random_features(octave(source, halvings)), strict=True
        )
        return sum(sliced_wasserstein(a, b) for a, b in pairs) / (len(_WIDTHS) - 1)


def gram_distance(
    encoder: Encoder, result: Tensor, style: Tensor, taps: Sequence[str], halvings: int
) -> float:
    """Relative distance of Gram matrices at an octave over ``taps``: 0 the same, 1 as far as black."""
    total = 0.0
    statistics = LookStatistics(tuple(taps))
    look = Look.of(gather(encoder, octave(style, halvings), statistics))
    mine = Look.of(gather(encoder, octave(result, halvings), statistics))
    for tap in taps:
        total += float(gram_loss(mine.grams[tap], look.grams[tap]) / look.grams[tap].square().mean())
    return math.sqrt(total / len(taps))


def content_distance(encoder: Encoder, result: Tensor, content: Tensor, tap: str = "relu4_2") -> float:
    """Relative distance of features at a layer: 0 the same, about 1 unrelated."""
    mine, theirs = (feature_maps(encoder, x, [tap])[tap].float() for x in (result, content))
    return float((mine - theirs).norm() / theirs.norm())


def structure_distance(mine: Tensor, theirs: Tensor) -> float:
    """Return 1 - cosine of two feature maps (1, C, h, w), each channel brought to mean 0 and deviation 1.

    0: the same; 0.9 to 1 unrelated pictures at relu4_1; at most 2. A gain above 0 and
    a shift of any channel change nothing, as colour and contrast should not.
    """
    a, b = (
        (f - f.mean((2, 3), keepdim=True)) / (f.var((2, 3), correction=0, keepdim=True) + EPSILON).sqrt()
        for f in (mine.to(exact_dtype(mine.device)), theirs.to(exact_dtype(theirs.device)))
    )
    return max(0.0, 1 - float((a * b).sum() / (a.norm() * b.norm()).clamp_min(EPSILON)))


def rms_error(mine: Tensor, theirs: Tensor) -> float:
    """Return the root mean squared difference of two pictures, in grey levels of 255."""
    return float((mine - theirs).square().mean().sqrt() * 255)


def psnr(mine: Tensor, theirs: Tensor) -> float:
    """Return the peak signal over the error of two pictures, in dB; infinite where they are the same."""
    error = rms_error(mine, theirs)
    return 20 * math.log10(255 / error) if error else math.inf


def fine_noise(picture: Tensor) -> float:
    """RMS of what the finest octave adds: the picture less its own smoothed self, in grey levels of 255."""
    small = shrink_five_tap(picture, _BORDER)
    smooth = F.interpolate(small, size=picture.shape[2:], mode="bilinear", align_corners=False)
    return float((picture - smooth).square().mean().sqrt() * 255)


def seam(picture: Tensor, dim: int, lattice: int = 1) -> float:
    """Mean absolute step across the wrapped edge over that between lines inside (1 = no seam).

    Pooling leaves steps that are regularly a little higher every few pixels, and the edge is one
    of those places: with ``lattice`` (px) the edge is compared with lines at multiples of it only.
    """
    steps = (torch.roll(picture, -1, dim) - picture).abs().movedim(dim, 0).flatten(1).mean(1)
    inside = steps[:-1].flip(0)[lattice - 1 :: lattice]
    return float(steps[-1] / inside.mean())


def tile_seam(tiled: Tensor, whole: Tensor, rows: Sequence[int], columns: Sequence[int]) -> float:
    """Mean absolute difference of two pictures within 2 px of the tiles' edges over that elsewhere.

    1 = no seam, however much they differ. ``rows`` and ``columns`` are where
    tiles meet (px, at least 2). Half a grey level,
    which 8 bits cannot show, is added to both. Raises :class:`ValueError` without an edge inside.
    """
    difference = (tiled - whole).abs().mean((0, 1))
    near = torch.zeros_like(difference, dtype=torch.bool)
    for row in rows:
        near[row - 2 : row + 2] = True
    for column in columns:
        near[:, column - 2 : column + 2] = True
    if not bool(near.any()):
        raise ValueError("there is one tile, and so no edge to measure along")
    level = 0.5 / 255
    return float((difference[near].mean() + level) / (difference[~near].mean() + level))


def checkerboard(picture: Tensor, stride: int) -> float:
    """Energy of a pattern of ``stride`` px over that of its neighbours in the spectrum (1 = no pattern).

    What repeats with every pixel of a feature map of that stride has its energy at the multiples of
    1 / ``stride``; counted are those that a stride half as large does not have. Mean over them of the power
    within 1 bin, over that 3 to 6 bins away, of brightness (1, 3, H, W) under a Hann window; the noise of
    rounding to 8 bits is added to both. What repeats in the scene counts as well: set it against the
    content's own. Raises :class:`ValueError` below 64 px.
    """
    height, width = (side // 8 * 8 for side in picture.shape[2:])
    if min(height, width) < 64:
        raise ValueError(f"a spectrum of {width} x {height} px is too small; 64 px are needed")
    brightness = picture.mean((0, 1))[:height, :width].to(exact_dtype(picture.device))
    rows, columns = (torch.hann_window(n).to(brightness) for n in (height, width))
    window = rows.outer(columns)
    power = torch.fft.fft2((brightness - brightness.mean()) * window).abs().square()
    power = power + window.square().sum() / (12 * 255**2)

    def around(bins: int) -> Tensor:
        """Return the mean power within so many bins."""
        padded = F.pad(power[None, None], (bins,) * 4, mode="circular")
        return F.avg_pool2d(padded, 2 * bins + 1, 1)[0, 0]

    neighbours = (13**2 * around(6) - 5**2 * around(2)) / (13**2 - 5**2)
    ratio = around(1) / neighbours
    places = [(i, j) for i in range(stride) for j in range(stride) if i % 2 or j % 2]
    found = [ratio[i * height // stride, j * width // stride] for i, j in places]
    return float(torch.stack(found).mean())


def border_step(picture: Tensor, mask: Tensor) -> float:
    """Return the mean gradient along a mask's border over that 3 to 8 px beside it (1 = no line).

    ``picture`` (1, 3, H, W), ``mask`` (1, 1, H, W), inside above 0.5; of brightness, by central differences.
    Raises :class:`ValueError` when the mask has no border, or nothing lies beside it.
    """
    brightness = F.pad(picture.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    down = brightness[..., 2:, 1:-1] - brightness[..., :-2, 1:-1]
    across = brightness[..., 1:-1, 2:] - brightness[..., 1:-1, :-2]
    gradient = (down.square() + across.square()).sqrt()

    def near(pixels: int) -> Tensor:
        """Return what lies within so many pixels of the border, on both sides."""
        return _grown(mask > 0.5, pixels) & _grown(mask <= 0.5, pixels)

    border, beside = near(1), near(8) & ~near(2)
    if not bool(border.any()) or not bool(beside.any()):
        raise ValueError("the mask has no border to measure along")
    return float(gradient[border].mean() / gradient[beside].mean())


def _grown(mask: Tensor, pixels: int) -> Tensor:
    return F.max_pool2d(mask.float(), 2 * pixels + 1, 1, pixels) > 0


def mean_iu(found: Tensor, true: Tensor, ignored: Tensor | None = None) -> float:
    """Return the mean of object's and background's intersection over union, in [0, 1].

    ``found`` and ``true`` are maps (1, 1, H, W), inside above 0.5; what is true in ``ignored`` does
    not count. A class that neither map has is left out of the mean.
    """
    counted = torch.ones_like(found, dtype=torch.bool) if ignored is None else ~ignored
    shares = []
    for a, b in ((found > 0.5, true > 0.5), (found <= 0.5, true <= 0.5)):
        union = int(((a | b) & counted).sum())
        if union:
            shares.append(int((a & b & counted).sum()) / union)
    return sum(shares) / len(shares)


def pixel_accuracy(found: Tensor, true: Tensor) -> float:
    """Return the share of pixels on the right side; maps (1, 1, H, W), inside above 0.5."""
    return float(((found > 0.5) == (true > 0.5)).float().mean())


def foreground_iu(found: Tensor, true: Tensor) -> float:
    """Return the intersection over union of what is inside alone, in [0, 1]; of two empty maps 1."""
    a, b = found > 0.5, true > 0.5
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0
