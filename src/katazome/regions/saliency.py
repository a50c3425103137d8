"""Salient: the one thing that stands out in a picture.

Source: Qin et al., "U2-Net: Going deeper with nested U-structure for salient object detection", Pattern
Recognition 2020, its small network u2netp; run by onnxruntime.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from katazome.errors import RegionError, require
from katazome.pictures.resize import resize
from katazome.weights import store

SIDE = 320
"""Side (px) of the square that the network was trained on; pictures are squeezed into it."""

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@cache
def _network() -> Any:
    onnxruntime = require("onnxruntime", "regions", "the region salient", RegionError)
    store.fetch("u2netp")
    return onnxruntime.InferenceSession(str(store.path("u2netp")), providers=["CPUExecutionProvider"])


def salient_map(pixels: Tensor) -> Tensor:
    """Return how much each pixel of a picture (1, 3, H, W), sRGB in [0, 1], belongs to what stands out.

    (1, 1, H, W) in [0, 1]; the strongest pixel of a picture that has anything salient is near 1, but the
    network's own scale is kept: where nothing stands out the map stays low.

    Raises :class:`katazome.errors.RegionError` where onnxruntime is not installed, and
    :class:`katazome.errors.WeightsError` where the network cannot be had.
    """
    small = resize(pixels, (SIDE, SIDE)).clamp(0, 1)
    small = small / small.amax().clamp_min(1e-6)
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in (_MEAN, _DEVIATION))
    network = _network()
    ready = ((small - mean) / deviation).numpy()
    found = network.run(None, {network.get_inputs()[0].name: ready})[0]
    return resize(torch.from_numpy(found), (pixels.shape[2], pixels.shape[3])).clamp(0, 1)
