"""EfficientNet-lite0: what is in a picture, among the 1,000 classes of ImageNet, and where.

Source: Tan & Le, "EfficientNet", ICML 2019; the lite form of R. Liu: no squeeze-and-excite, ReLU6,
stem and head of fixed width. Departures: batch normalisation is folded into the convolutions when
the weights are opened, and the classifier stands as a 1x1 convolution on every position, whose mean
is the score (the same number as pooling first), so that any size goes in and scores have places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from katazome.errors import WeightsError
from katazome.weights import store

CLASSES = 1000
SIDE = 224
"""Side (px) of the pictures it was trained on."""

_EPSILON = 1e-3
_SHIFT, _SCALE = 127 / 255, 128 / 255

_STAGES = (  # kernel, stride of the first block, blocks
    (3, 1, 1),
    (3, 2, 2),
    (5, 2, 2),
    (3, 2, 3),
    (5, 1, 3),
    (5, 2, 4),
    (3, 1, 1),
)


class _GuidedReLU6(torch.autograd.Function):
    """ReLU6 whose backward also drops negative gradients [Springenberg et al. 2015]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(0, 6)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        passed: Tensor = grad * ((x > 0) & (x < 6) & (grad > 0))
        return passed


@dataclass(frozen=True)
class _Conv:
    """A convolution with its normalisation folded in; padded as TensorFlow's ``same``."""

    weight: Tensor
    bias: Tensor
    stride: int
    groups: int
    active: bool

    def __call__(self, x: Tensor, *, guided: bool) -> Tensor:
        kernel = self.weight.shape[-1]
        rims: list[int] = []
        for side in (x.shape[3], x.shape[2]):
            total = max(0, (-(-side // self.stride) - 1) * self.stride + kernel - side)
            rims += [total // 2, total - total // 2]
        x = F.conv2d(F.pad(x, rims), self.weight, self.bias, self.stride, groups=self.groups)
        if not self.active:
            return x
        activated: Tensor = _GuidedReLU6.apply(x) if guided else x.clamp(0, 6)  # type: ignore[no-untyped-call]
        return activated


@dataclass(frozen=True)
class Classifier:
    """The network, ready to run; see :func:`open_classifier`."""

    stem: _Conv
    blocks: Sequence[Sequence[_Conv]]
    head: _Conv
    weight: Tensor
    bias: Tensor

    def __call__(
        self, picture: Tensor, taps: Sequence[int] = (), *, guided: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """Return scores by place (B, 1000, h, w) and the inputs of the blocks ``taps``.

        ``picture`` (B, 3, H, W), sRGB in [0, 1]; the mean over places is the score before the
        softmax. ``guided`` makes the backward drop negative gradients at each ReLU.
        """
        x = self.stem((picture - _SHIFT) / _SCALE, guided=guided)
        taken: dict[int, Tensor] = {}
        for number, block in enumerate(self.blocks):
            if number in taps:
                taken[number] = x
            inner = x
            for conv in block:
                inner = conv(inner, guided=guided)
            depthwise = block[-2]
            x = x + inner if depthwise.stride == 1 and inner.shape == x.shape else inner
        x = self.head(x, guided=guided)
        return F.conv2d(x, self.weight[:, :, None, None], self.bias), [taken[t] for t in taps]

    def scores(self, picture: Tensor) -> Tensor:
        """Return the probabilities (B, 1000) of the classes."""
        with torch.no_grad():
            return self(picture)[0].mean((2, 3)).softmax(1)


def open_classifier(device: torch.device | str = "cpu") -> Classifier:
    """Open the classifier of the catalogue, fetched at the first use."""
    store.fetch("efficientnet-lite0")
    return classifier_of(store.load("efficientnet-lite0"), device)


def classifier_of(tensors: Mapping[str, Tensor], device: torch.device | str = "cpu") -> Classifier:
    """Build the network from tensors by their published names.

    Raises :class:`WeightsError` when they are of another network.
    """
    try:
        blocks: list[list[_Conv]] = []
        for kernel, first, count in _STAGES:
            for index in range(count):
                at = f"_blocks.{len(blocks)}."
                block = [] if not blocks else [_folded(tensors, at + "_expand_conv", at + "_bn0", device)]
                stride = first if index == 0 else 1
                block.append(_folded(tensors, at + "_depthwise_conv", at + "_bn1", device, stride))
                block.append(_folded(tensors, at + "_project_conv", at + "_bn2", device, active=False))
                if block[-2].weight.shape[-1] != kernel:
                    raise WeightsError(f"block {len(blocks)} of the classifier has another kernel than lite0")
                blocks.append(block)
        stem = _folded(tensors, "_conv_stem", "_bn0", device, 2)
        head = _folded(tensors, "_conv_head", "_bn1", device)
        return Classifier(
            stem, blocks, head, tensors["_fc.weight"].to(device), tensors["_fc.bias"].to(device)
        )
    except KeyError as error:
        raise WeightsError(f"these weights are not EfficientNet-lite0's: {error} is missing") from None


def _folded(
    tensors: Mapping[str, Tensor],
    conv: str,
    norm: str,
    device: torch.device | str,
    stride: int = 1,
    *,
    active: bool = True,
) -> _Conv:
    weight = tensors[f"{conv}.weight"].double()
    variance, mean = (tensors[f"{norm}.running_{n}"].double() for n in ("var", "mean"))
    gain = tensors[f"{norm}.weight"].double() / (variance + _EPSILON).sqrt()
    bias = tensors[f"{norm}.bias"].double() - mean * gain
    folded = (weight * gain.view(-1, 1, 1, 1)).float().to(device)
    groups = weight.shape[0] if "depthwise" in conv else 1
    return _Conv(folded, bias.float().to(device), stride, groups, active)
