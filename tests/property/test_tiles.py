"""Cut in tiles or whole: the same value and gradient, at tile borders too."""

from __future__ import annotations

from collections.abc import Callable

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from katazome.losses.content import Content
from katazome.losses.smoothness import Smoothness
from katazome.losses.style import GramStyle, Look, LookStatistics, MomentStyle
from katazome.networks.kernels import Padding, PaddingPair
from katazome.networks.vgg import Encoder, EncoderSettings, smallest_side
from katazome.objective.tiles import tiles
from katazome.objective.whole import Objective, Octave, feature_maps, gather
from katazome.pictures.resize import shrink, shrink_five_tap
from katazome.statistics.guides import carry
from tests.tiny import tiny_vgg

TINY = tiny_vgg(4)
PADDINGS: list[Padding] = ["reflect", "zeros", "replicate", "circular"]
TAPS = ["conv1_1", "relu1_1", "pool1", "relu2_1", "relu3_1", "conv3_4", "pool3", "relu4_2", "relu5_1"]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@st.composite
def cases(draws: st.DrawFn) -> tuple[list[str], PaddingPair, int, tuple[int, int], int]:
    taps = draws(st.lists(st.sampled_from(TAPS), min_size=1, max_size=3, unique=True))
    padding = (draws(st.sampled_from(PADDINGS)), draws(st.sampled_from(PADDINGS)))
    octaves = draws(st.integers(1, 2))
    least = smallest_side(taps) * octaves
    sides: list[int] = []
    for axis in padding:
        side = draws(st.integers(max(33, least), 150))
        # a periodic picture has whole strides
        sides.append(-(-side // 32) * 32 if axis == "circular" else side)
    tile = draws(st.sampled_from([32, 64, 96]))
    return taps, padding, octaves, (sides[0], sides[1]), tile


def objective(
    encoder: Encoder,
    taps: list[str],
    size: tuple[int, int],
    octaves: int,
    tile: int | None,
    guided: bool,
    shrinker: Callable[[Tensor], Tensor],
) -> Objective:
    """Every additive loss there is, at each octave."""
    weights = dict.fromkeys(taps, 1.0)
    region = draw(1, 1, *size, seed=3) if guided else None
    held = draw(1, 3, *size, seed=2)
    look = Look.of(gather(encoder, draw(1, 3, 50, 64, seed=1), LookStatistics(tuple(taps), tuple(taps))))
    steps = []
    for halvings in range(octaves):
        guides = None if region is None else carry(region, taps)
        steps.append(
            Octave(
                halvings,
                (
                    Content(feature_maps(encoder, held, taps), weights, 1.0, guides),
                    GramStyle(look.grams, weights, 2.0, guides),
                    MomentStyle(look.deviations(), weights, 0.5, guides),
                ),
            )
        )
        if halvings + 1 < octaves:
            held, region = shrinker(held), None if region is None else shrinker(region)
    rows, columns = encoder.settings.padding
    wrap = (rows == "circular", columns == "circular")
    return Objective(encoder, steps, shrinker, [Smoothness(0.1, wrap=wrap)], tile)


def border(size: tuple[int, int], tile: int, taps: list[str]) -> Tensor:
    """Pixels within four of the edge of a core that lies inside the picture."""
    band = torch.zeros(size, dtype=torch.bool)
    for t in tiles(size[0], size[1], taps, tile):
        for edge in (t.core.top, t.core.bottom):
            if 0 < edge < size[0]:
                band[edge - 4 : edge + 4, t.core.left : t.core.right] = True
        for edge in (t.core.left, t.core.right):
            if 0 < edge < size[1]:
                band[t.core.top : t.core.bottom, edge - 4 : edge + 4] = True
    return band


@settings(max_examples=50)
@given(
    case=cases(),
    pooling=st.sampled_from(["max", "average"]),
    guided=st.booleans(),
    shrinker=st.sampled_from([shrink, shrink_five_tap]),
)
def test_tiled_is_whole(case, pooling, guided, shrinker):
    taps, padding, octaves, size, tile = case
    if "circular" in padding:
        shrinker = shrink  # the one that keeps whole strides: the sides are multiples of 32
        octaves = 1 if any(side % 64 for side in size) else octaves
    picture = draw(1, 3, *size, seed=5)
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-4)):
        encoder = Encoder(TINY, EncoderSettings(pooling=pooling, padding=padding, dtype=dtype))
        start = picture.to(dtype)
        whole = objective(encoder, taps, size, octaves, None, guided, shrinker)(start)
        tiled = objective(encoder, taps, size, octaves, tile, guided, shrinker)(start)
        assert abs(float(tiled.total - whole.total)) <= tolerance * abs(float(whole.total))
        difference = (tiled.gradient - whole.gradient)[0].norm(dim=0)
        reference = whole.gradient[0].norm(dim=0)
        assert float(difference.norm()) <= tolerance * float(reference.norm())
        band = border(size, tile, taps)
        if band.any():
            assert float(difference[band].norm()) <= tolerance * float(reference[band].norm())
