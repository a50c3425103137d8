"""From a coarse map to the edge of the thing: GrabCut on colours, its edge softened.

Source: Rother, Kolmogorov & Blake, "GrabCut: interactive foreground extraction using iterated graph cuts",
SIGGRAPH 2004, as OpenCV has it; after a saliency map as in Simonyan, Vedaldi & Zisserman, "Deep inside
convolutional networks", 2014, section 3.2. Figures and what else was tried: docs/regions.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from katazome.errors import RegionError, require
from katazome.pictures.mask import feathered
from katazome.pictures.resize import resize

SIDE = 320
"""Longest side (px) at which the cut is made."""

CERTAIN, LIKELY, POSSIBLE = 0.8, 0.4, 0.05
"""Of the map's maximum: above the first a pixel is inside, above the second likely, below the third not."""

ROUNDS = 5

_SOFT = 0.7  # px, at the size of the cut


def refined(pixels: Tensor, coarse: Tensor) -> Tensor:
    """Return the map (1, 1, H, W) of a thing, of which ``coarse`` (1, 1, H, W), at least 0, is a rough map.

    ``pixels`` (1, 3, H, W), sRGB in [0, 1]. The colours of what is likely inside and of the rest are
    learnt, and the picture is cut where colours part; what the map is sure of is kept on its side.

    Raises :class:`RegionError` where OpenCV is not installed.
    """
    cv2 = require("cv2", "regions", "a region by name or by filters", RegionError)
    height, width = pixels.shape[2:]
    factor = min(1.0, SIDE / max(height, width))
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    small = resize(coarse, size)[0, 0].clamp_min(0)
    rough = (small / small.max().clamp_min(torch.finfo(small.dtype).tiny)).numpy()
    labels = np.full(size, cv2.GC_PR_BGD, np.uint8)
    for share, label in ((LIKELY, cv2.GC_PR_FGD), (CERTAIN, cv2.GC_FGD)):
        labels[rough > share] = label
    labels[rough < POSSIBLE] = cv2.GC_BGD
    inside = _inside(cv2, labels)
    if inside.any() and not inside.all():  # else there are no colours to tell apart
        bgr = resize(pixels, size)[0].flip(0).permute(1, 2, 0).clamp(0, 1)
        cv2.setRNGSeed(0)  # the first guess of the colours is drawn
        models = np.zeros((1, 65)), np.zeros((1, 65))
        picture = (bgr * 255).round().byte().contiguous().numpy()
        cv2.grabCut(picture, labels, None, *models, ROUNDS, cv2.GC_INIT_WITH_MASK)
        inside = _inside(cv2, labels)
    cut = torch.from_numpy(inside)[None, None].to(pixels)
    return resize(feathered(cut, _SOFT), (height, width)).clamp(0, 1)


def _inside(cv2: Any, labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    return found
