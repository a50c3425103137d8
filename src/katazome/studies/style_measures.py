"""What ``study styles`` measures of a picture that was made of a content and a style.

Sheet 4's and its prototype's measures ("style after", "own style", "content"), Gram and sliced Wasserstein
distances over layers and scales in three eyes (:mod:`katazome.studies.eyes`), patterns of the pixel grid.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from katazome.jobs.manifest import Figures
from katazome.methods.options import STYLE_LAYERS
from katazome.networks.classifier import Classifier
from katazome.networks.vgg import Encoder
from katazome.objective.tiles import tiles
from katazome.objective.whole import feature_maps
from katazome.pictures.read import read
from katazome.pictures.resize import resize
from katazome.studies.eyes import Eye, Portrait, lite0_eye, random_eye, vgg_eye
from katazome.studies.metrics import (
    checkerboard,
    content_distance,
    octave,
    psnr,
    rms_error,
    structure_distance,
    tile_seam,
)

VERSION = 1
"""Of what is measured: with another, pictures are measured again."""

OCTAVES = (0, 1, 2)
STRIDES = (2, 4, 8)

SMALLEST = 64
"""Side (px) below which a picture has no further octave, and no spectrum."""

PROTOTYPE_LAYERS = 4
"""relu1_1 to relu4_1, the first of the style's layers: what the prototype of sheet 4 was measured by."""

CONTENT_BLOCK = 11
"""Block of EfficientNet-lite0 whose input (stride 16) is asked whether the content is still there."""


@dataclass(frozen=True)
class StyleMeasures:
    """Measures pictures (1, 3, H, W) in [0, 1] against a content of their size and one of ``styles``."""

    encoder: Encoder
    classifier: Classifier
    styles: Mapping[str, Path]
    _last: dict[str, tuple[Any, Any]] = field(default_factory=dict, repr=False)

    def transfer(self, result: Tensor, content: Tensor, style: str) -> Figures:
        """Return what a transfer kept and took: distances (0: the same), 0 or 1 for the own style found.

        ``own style`` is 1 where the picture is nearer to its style than to any other; ``to others`` is its
        mean distance to those. Both, and ``style after``, are of Gram matrices, whole layers weighing alike.
        """
        target = self._once(
            "style", (style, result.shape), lambda: self._portraits(self._beside(style, result))
        )
        others = self._once("others", result.shape, lambda: self._briefly(result))
        found = self._portraits(result)
        figures = self.kept(result, content)
        for eye, layers, mark in (("VGG-19", PROTOTYPE_LAYERS, ""), ("lite0", None, ", lite0")):
            near = {name: found[eye, 0].gram_distance(p[eye], layers) for name, p in others.items()}
            rest = [distance for name, distance in near.items() if name != style]
            figures[f"style after{mark}"] = near[style]
            if rest:
                figures[f"to others{mark}"] = statistics.mean(rest)
                figures[f"own style{mark}"] = int(near[style] < min(rest))
        for (eye, halvings), portrait in found.items():
            at = f"{eye} 1/{2**halvings}"
            figures[f"Gram, {at}"] = portrait.gram_distance(target[eye, halvings])
            figures[f"SWD, {at}"] = portrait.sliced_distance(target[eye, halvings])
        for stride in STRIDES:
            figures[f"pattern {stride} px"] = checkerboard(result, stride) / checkerboard(content, stride)
        return figures

    def kept(self, result: Tensor, content: Tensor) -> Figures:
        """Return how far the content is from what it was; 0 the same."""
        seen = [feature_maps(self.encoder, x, ["relu4_1"])["relu4_1"] for x in (result, content)]
        eye = lite0_eye(self.classifier, [CONTENT_BLOCK])
        return {
            "content distance": structure_distance(seen[0], seen[1]),
            "content distance, lite0": structure_distance(eye(result)[0], eye(content)[0]),
            "relu4_2": content_distance(self.encoder, result, content),
        }

    def identity(self, result: Tensor, content: Tensor) -> Figures:
        """Return what became of a picture that was its own style."""
        return {
            "RMSE": rms_error(result, content),
            "PSNR": psnr(result, content),
            **self.kept(result, content),
        }

    @cached_property
    def _eyes(self) -> dict[str, Eye]:
        return {
            "VGG-19": vgg_eye(self.encoder, STYLE_LAYERS),
            "lite0": lite0_eye(self.classifier),
            "random": random_eye,
        }

    def _portraits(self, picture: Tensor) -> dict[tuple[str, int], Portrait]:
        """Return portraits by eye and halvings, as far down as the picture has octaves."""
        least = min(picture.shape[2:])
        octaves = [n for n in OCTAVES if not n or least >> n >= SMALLEST]
        return {
            (name, n): Portrait.of(eye, octave(picture, n))
            for n in octaves
            for name, eye in self._eyes.items()
        }

    def _briefly(self, result: Tensor) -> dict[str, dict[str, Portrait]]:
        """Return the Gram matrices of all styles beside ``result``, by name and eye."""
        eyes = {name: self._eyes[name] for name in ("VGG-19", "lite0")}
        pictures = ((style, self._beside(style, result)) for style in self.styles)
        return {
            style: {name: Portrait.of(eye, picture, slices=False) for name, eye in eyes.items()}
            for style, picture in pictures
        }

    def _beside(self, style: str, result: Tensor) -> Tensor:
        """Return a style picture at the result's area, as methods see it."""
        pixels = read(self.styles[style]).pixels
        height, width = pixels.shape[2:]
        factor = math.sqrt(result.shape[2] * result.shape[3] / (height * width))
        return resize(pixels, (round(height * factor), round(width * factor))).to(result)

    def _once(self, what: str, key: Any, make: Callable[[], Any]) -> Any:
        """Return what ``make`` returns; the last of its kind is kept, as methods and styles vary fast."""
        if what not in self._last or self._last[what][0] != key:
            self._last[what] = (key, make())
        return self._last[what][1]


def seams(tiled: Tensor, whole: Tensor, side: int) -> Figures:
    """Return how a picture made in tiles of ``side`` px differs from the whole: along their edges?"""
    cores = [tile.core for tile in tiles(tiled.shape[2], tiled.shape[3], STYLE_LAYERS, side)]
    rows, columns = ({getattr(core, edge) for core in cores} - {0} for edge in ("top", "left"))
    return {
        "seam": tile_seam(tiled, whole, sorted(rows), sorted(columns)),
        "difference": rms_error(tiled, whole),
    }


def covering(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the middle of a picture (1, 3, H, W), resized to cover ``size`` (height, width) and cut."""
    (height, width), (rows, columns) = size, picture.shape[2:]
    factor = max(height / rows, width / columns)
    large = resize(picture, (max(height, round(rows * factor)), max(width, round(columns * factor))))
    top, left = (large.shape[2] - height) // 2, (large.shape[3] - width) // 2
    return large[..., top : top + height, left : left + width]
