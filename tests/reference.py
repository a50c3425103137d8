"""The encoder once more, in plain autograd: what the hand-written one is checked against."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from katazome.networks.kernels import PaddingPair, Pooling
from katazome.networks.vgg import TAPS
from katazome.weights.flavours import VGGWeights

MODES = {"reflect": "reflect", "zeros": "constant", "replicate": "replicate", "circular": "circular"}


def encode(
    weights: VGGWeights, picture: Tensor, taps: Sequence[str], padding: PaddingPair, pooling: Pooling
) -> dict[str, Tensor]:
    """Return the features of ``picture`` at ``taps`` (canonical names), in the picture's own type."""
    matrix, bias = (t.to(picture) for t in weights.colour)
    x = F.conv2d(picture, matrix[:, :, None, None], bias)
    features: dict[str, Tensor] = {}
    for name in TAPS:
        if len(features) == len(set(taps)):
            break
        if name.startswith("conv"):
            x = F.pad(F.pad(x, (0, 0, 1, 1), MODES[padding[0]]), (1, 1, 0, 0), MODES[padding[1]])
            weight, shift = (t.to(picture) for t in weights.convs[name])
            x = F.conv2d(x, weight, shift)
        elif name.startswith("relu"):
            x = torch.relu(x)
        else:
            x = F.max_pool2d(x, 2) if pooling == "max" else F.avg_pool2d(x, 2)
        if name in taps:
            features[name] = x
    return features
