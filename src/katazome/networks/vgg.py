"""VGG-19 by tap names, evaluated no deeper than asked.

Source: Simonyan & Zisserman, "Very deep convolutional networks for large-scale image
recognition", 2015, configuration E. Departures: pooling may be the average [Gatys 2016] and the
border may be padded otherwise than with zeros, which keeps the picture's edge free of dark seams.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from katazome.errors import MethodError, OptionError, nearest
from katazome.networks import kernels
from katazome.networks.kernels import Convolution, Padding, PaddingPair, Pool, Pooling
from katazome.weights.flavours import VGGWeights

BLOCKS = (2, 2, 4, 4, 4)
"""Convolutions in each of the five blocks; a pooling closes each block."""

CONVOLUTIONS = tuple(f"conv{b}_{i}" for b, n in enumerate(BLOCKS, 1) for i in range(1, n + 1))

_WINOGRAD_FROM = 256  # channels; below, the transforms cost more than the products save
_WINOGRAD_STRIDE = 8  # deeper maps are small, and would force tiles to be aligned to 64 px instead of 32


@dataclass(frozen=True, slots=True)
class Tap:
    """A place in the network where features are taken.

    ``stride`` is the pixels from one position to the next, ``radius`` how far (px) a position
    sees beyond its own stride x stride cell. ``channels`` is the real network's.
    """

    name: str
    block: int
    channels: int
    stride: int
    radius: int


def _taps() -> dict[str, Tap]:
    taps: dict[str, Tap] = {}
    stride, field = 1, 1
    for block, count in enumerate(BLOCKS, 1):
        channels = 64 * min(2 ** (block - 1), 8)
        for i in range(1, count + 1):
            field += 2 * stride
            for kind in ("conv", "relu"):
                name = f"{kind}{block}_{i}"
                taps[name] = Tap(name, block, channels, stride, (field - stride) // 2)
        field, stride = field + stride, stride * 2
        taps[f"pool{block}"] = Tap(f"pool{block}", block, channels, stride, max(0, (field - stride) // 2))
    return taps


TAPS: Mapping[str, Tap] = _taps()


def tap(name: str) -> Tap:
    """Return the tap called ``relu4_2``, ``conv4_2``, ``pool3`` or, for short, ``r42``, ``c42``, ``p3``.

    Raises :class:`OptionError` naming the nearest known layer.
    """
    short = re.fullmatch(r"([rcp])(\d)_?(\d)?", name.strip().lower())
    full = name.strip().lower()
    if short:
        kind, block, index = short.groups()
        full = {"r": "relu", "c": "conv", "p": "pool"}[kind] + block + (f"_{index}" if index else "")
    if full not in TAPS:
        raise OptionError(
            f"no layer is called '{name}'{nearest(full, TAPS)} (for example relu4_2, pool3, r42)"
        )
    return TAPS[full]


def deepest(names: Sequence[str]) -> Tap:
    """Return the tap that lies deepest in the network."""
    order = list(TAPS)
    return max((tap(n) for n in names), key=lambda t: order.index(t.name))


def smallest_side(names: Sequence[str]) -> int:
    """Return the smallest sensible picture side (px): three positions at the deepest tap."""
    return 3 * deepest(names).stride


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSettings:
    """How the network is run. ``padding`` is (rows, columns); ``dtype`` float32, bfloat16 or float64."""

    pooling: Pooling = "max"
    padding: PaddingPair = ("reflect", "reflect")
    dtype: torch.dtype = torch.float32
    fast: bool = True
    """Allow Winograd convolutions (float32 on a CPU only); off for exact comparisons."""


class Encoder:
    """VGG-19 from a picture to features, differentiable with respect to the picture alone.

    Call it with a picture (B, 3, H, W), float, sRGB in [0, 1], and tap names; it returns the
    features by name, (B, C, H/stride, W/stride), channels last, in the encoder's data type.
    """

    def __init__(
        self,
        weights: VGGWeights,
        settings: EncoderSettings | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.weights = weights
        self.settings = settings or EncoderSettings()
        self.device = torch.device(device)
        self._kept: dict[tuple[torch.dtype, bool], dict[str, Convolution]] = {}

    def with_(self, **changes: Any) -> Encoder:
        """Return the same network run otherwise; what has been made ready once is kept and shared."""
        other = Encoder(self.weights, replace(self.settings, **changes), self.device)
        other._kept = self._kept
        return other

    @property
    def _ready(self) -> dict[str, Convolution]:
        return self._kept.setdefault((self.settings.dtype, self.settings.fast), {})

    def __call__(self, picture: Tensor, taps: Sequence[str]) -> dict[str, Tensor]:
        """Return the features of ``picture`` at ``taps``; each result can be differentiated once."""
        names = tuple(dict.fromkeys(tap(n).name for n in taps))
        if not names:
            return {}
        self._check(picture, names)
        steps = self._steps(names)
        # Cloned: autograd keeps the matrix, and refuses one that was loaded under inference mode.
        matrix, bias = (t.to(picture).clone() for t in self.weights.colour)
        # The colour map runs in the picture's own precision; only then the encoder's is taken.
        scaled = torch.einsum("oi,bihw->bohw", matrix, picture) + bias.view(1, -1, 1, 1)
        scaled = scaled.to(self.settings.dtype).contiguous(memory_format=torch.channels_last)
        features: tuple[Tensor, ...] = _Chain.apply(scaled, steps, names, self.settings.padding)  # type: ignore[no-untyped-call]
        return dict(zip(names, features, strict=True))

    def channels(self, name: str) -> int:
        """Return the number of channels at a tap, of the weights in hand."""
        t = tap(name)
        index = int(t.name[-1]) if "_" in t.name else BLOCKS[t.block - 1]
        return int(self.weights.convs[f"conv{t.block}_{index}"][0].shape[0])

    def uses_winograd(self, name: str) -> bool:
        """Whether a convolution runs by the fast algorithm in this encoder."""
        settings = self.settings
        fast = settings.fast and self.device.type == "cpu" and settings.dtype == torch.float32
        wide = max(self.weights.convs[name][0].shape[:2]) >= _WINOGRAD_FROM
        return fast and wide and tap(name).stride <= _WINOGRAD_STRIDE

    def _check(self, picture: Tensor, names: Sequence[str]) -> None:
        if picture.ndim != 4 or picture.shape[1] != 3 or not picture.is_floating_point():
            raise MethodError(
                f"the network takes a float picture of shape (B, 3, H, W), got {tuple(picture.shape)}"
            )
        least = 2 * deepest(names).stride
        if min(picture.shape[2:]) < least:
            height, width = picture.shape[2:]
            raise OptionError(
                f"a picture of {width} x {height} is too small for {deepest(names).name}: "
                f"each side must have at least {least} px; choose a larger size or a shallower layer"
            )

    def _steps(self, names: Sequence[str]) -> tuple[Convolution | Pool, ...]:
        order = list(TAPS)
        last = order.index(deepest(names).name)
        steps: list[Convolution | Pool] = []
        for name in order[: last + 1]:
            if name.startswith("conv"):
                steps.append(self._convolution(name))
            elif name.startswith("pool"):
                steps.append(Pool(name, self.settings.pooling))
        return tuple(steps)

    def _convolution(self, name: str) -> Convolution:
        if name not in self._ready:
            dtype = self.settings.dtype
            weight, bias = (t.to(self.device, dtype) for t in self.weights.convs[name])
            weight = weight.contiguous(memory_format=torch.channels_last)
            self._ready[name] = Convolution(name, weight, bias, self.uses_winograd(name))
        return self._ready[name]


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the backward needs of one step: where the result is positive; of a maximum, where it was."""

    positive: Tensor | None = None
    where: Tensor | None = None
    size: tuple[int, int] = (0, 0)


class _Chain(torch.autograd.Function):
    """The chain of convolutions and poolings as one operation of autograd."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        steps: tuple[Convolution | Pool, ...],
        names: tuple[str, ...],
        padding: PaddingPair,
    ) -> tuple[Tensor, ...]:
        keep = ctx.needs_input_grad[0]
        # What the backward needs of each step, in order. Outputs are kept detached: a tensor
        # that knew this node and was known by it could never be freed.
        tape: list[_Kept] = []
        taken: dict[str, Tensor] = {}
        for index, step in enumerate(steps):
            following = steps[index + 1] if index + 1 < len(steps) else None
            if isinstance(step, Pool):
                size = (x.shape[2], x.shape[3])
                x, where = kernels.halve(x, step.kind)
                tape.append(_Kept(x.detach() if where is not None else None, where, size))
                if step.name in names:
                    taken[step.name] = x
                continue
            relu = "relu" + step.name[4:]
            x = step.forward(x, padding)
            if step.name in names:
                taken[step.name] = x
            if following is None and relu not in names:
                tape.append(_Kept())
                break
            x = x.relu() if step.name in names else x.relu_()
            if relu in names:
                taken[relu] = x
            # A maximum passes its gradient where the pooled value is positive: the quarter as
            # large pooled map says as much as the map itself, which need not be kept then.
            by_pool = isinstance(following, Pool) and following.kind == "max" and relu not in names
            tape.append(_Kept() if by_pool else _Kept(x.detach()))
            if not keep:
                tape.clear()
        ctx.set_materialize_grads(False)  # a tap that is not used has no gradient, rather than zeros
        ctx.tape, ctx.steps, ctx.names, ctx.padding = tape, steps, names, padding
        return tuple(taken[n] for n in names)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        pulled = dict(zip(ctx.names, grads, strict=True))
        tape = ctx.tape
        if tape is None:
            raise RuntimeError(
                "features of this encoder can be differentiated once; encode the picture again"
            )
        ctx.tape = None
        g: Tensor | None = None
        for step in reversed(ctx.steps):
            kept = tape.pop()
            if isinstance(step, Pool):
                g = _plus(g, pulled.get(step.name))
            else:
                g = _plus(g, pulled.get("relu" + step.name[4:]))
            if g is not None and kept.positive is not None:
                g = kernels.mask_by_sign(g, kept.positive)
            if isinstance(step, Pool):
                g = None if g is None else kernels.unhalve(g, kept.where, kept.size)
            else:
                g = _plus(g, pulled.get(step.name))
                g = None if g is None else step.backward(g, ctx.padding)
        return g, None, None, None


def _plus(g: Tensor | None, more: Tensor | None) -> Tensor | None:
    """Add a tap's gradient to the one that comes from deeper; ``g`` is ours to change, ``more`` is not."""
    if more is None:
        return g
    if g is None:
        return more.clone(memory_format=torch.channels_last)
    return g.add_(more)


__all__ = [
    "BLOCKS",
    "CONVOLUTIONS",
    "TAPS",
    "Encoder",
    "EncoderSettings",
    "Padding",
    "Pooling",
    "Tap",
    "deepest",
    "smallest_side",
    "tap",
]
