"""The most typical picture of a set, by its style: whose look stands for stone.

Source of the idea: seed 3's companion paper picks style pictures by "neural style vectors". Departure: the
vector is means and deviations of the channels of five layers, which say what Gram matrices say of a look in
3,000 numbers instead of 600,000.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

import torch
from torch import Tensor

from katazome.collections.cache import FeatureCache, Features, Progress
from katazome.collections.folders import Source
from katazome.device import supports_bfloat16
from katazome.networks.vgg import Encoder

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
SIDE = 224


def style_vectors(encoder: Encoder, sources: Sequence[Source]) -> Generator[Progress, None, Features]:
    """Compute the style vectors of pictures, or take them from the cache: rows (D,)."""
    fast = torch.bfloat16 if supports_bfloat16(encoder.device) else torch.float32
    network = encoder.with_(dtype=fast)

    def compute(pixels: Tensor) -> Tensor:
        features = network(pixels.to(network.device), LAYERS)
        parts = [torch.stack((f.float().mean((2, 3)), f.float().std((2, 3))), 1) for f in features.values()]
        return torch.cat([part.flatten(1) for part in parts], 1)

    key = {
        "network": encoder.weights.sha256,
        "layers": list(LAYERS),
        "what": "style vector",
        "precision": str(fast).removeprefix("torch."),
    }
    length = 2 * sum(encoder.channels(name) for name in LAYERS)
    return FeatureCache(key, SIDE, (length,), compute).fill(sources)


def by_typicality(vectors: Tensor) -> list[int]:
    """Return the rows of (N, D) in order of their distance to the mean, the most typical first.

    Each number counts in units of its own deviation over the set, so that loud channels do not decide.
    """
    spread = vectors.std(0, correction=0)
    scaled = (vectors - vectors.mean(0)) / spread.clamp_min(1e-3 * float(spread.mean()) + 1e-12)
    return scaled.square().mean(1).argsort(stable=True).tolist()
