"""A network for one style: a photograph in, the same in the style that it learnt out.

Source: Johnson, Alahi & Fei-Fei, "Perceptual losses for real-time style transfer and super-resolution", ECCV
2016, and the authors' program: a convolution of 9x9, two that halve, five residual blocks, two that double,
another of 9x9. Instance normalisation after each but the last: Ulyanov et al., "Improved texture networks",
CVPR 2017. The end is the authors' scaled tanh, 150 grey levels to either side of the middle, so that no input
makes anything that is far out of range; what is outside [0, 1] is cut off.

Departures: enlargement to the nearest and a convolution instead of a transposed one, which leaves a
checkerboard; a reflected border at each convolution instead of one wide border at the beginning, so that
residual blocks keep their size and no edge is darkened. Any size: an odd side is rounded up where it is
halved, and the last rows and columns are cut off again.

Statistics of instance normalisation are the whole picture's. So a large picture is not cut into tiles, which
would have statistics of their own: each convolution goes over it in bands of rows (:func:`convolved`), and
only its result is held whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from katazome.device import exact_dtype
from katazome.errors import MethodError, OptionError
from katazome.weights.modelfile import Card, Kind
from katazome.weights.shelf import Shelf

KIND = Kind(
    "feedforward",
    1,
    "network for one style",
    "katazome train feedforward --style PAINTING --images DIR -o MODEL",
)
BLOCKS = 5
EPSILON = 1e-5
"""Added to variances, as torch's instance normalisation does."""

SMALLEST = 16
"""Smallest side of a picture (px): four positions where the map is smallest."""

REACH = 150 / 255
"""How far from the middle grey the scaled tanh can go."""

DEFAULT = "wheat-field"
"""The network that is taken where none is named."""

_BAND_VALUES = 1 << 24
"""Numbers that a band of a convolution is made from and makes."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution: of a map that was enlarged by two before it, if ``enlarges``, its border reflected."""

    name: str
    inputs: int
    outputs: int
    kernel: int = 3
    stride: int = 1
    enlarges: bool = False

    @property
    def normalised(self) -> bool:
        """Whether instance normalisation follows; else it has a bias of its own."""
        return self.name != "out"

    @property
    def kinds(self) -> tuple[str, ...]:
        """Its tensors beside the weight."""
        return ("scale", "shift") if self.normalised else ("bias",)

    def size(self, side: int) -> int:
        """Return the side of the map that it makes of one of ``side``."""
        return -(-side * (1 + self.enlarges) // self.stride)


def layers(width: int) -> tuple[Layer, ...]:
    """Return the convolutions of a network of ``width`` channels at full size, in order."""
    deep = 4 * width
    blocks = [Layer(f"res{n}{half}", deep, deep) for n in range(1, BLOCKS + 1) for half in "ab"]
    return (
        Layer("in", 3, width, kernel=9),
        Layer("down1", width, 2 * width, stride=2),
        Layer("down2", 2 * width, deep, stride=2),
        *blocks,
        Layer("up1", deep, 2 * width, enlarges=True),
        Layer("up2", 2 * width, width, enlarges=True),
        Layer("out", width, 3, kernel=9),
    )


def chained(picture: Tensor, act: Callable[[Tensor, str, bool], Tensor]) -> Tensor:
    """Return what the layers make of a picture (B, 3, H, W): of its size, in [0, 1] but for the tanh's reach.

    ``act`` applies the layer of a name, its normalisation, and a ReLU where it is told to.
    """
    height, width = picture.shape[2:]
    x = picture
    for name in ("in", "down1", "down2"):
        x = act(x, name, True)
    for block in range(1, BLOCKS + 1):
        x = x + act(act(x, f"res{block}a", True), f"res{block}b", False)
    for name in ("up1", "up2"):
        x = act(x, name, True)
    x = act(x, "out", False)[:, :, :height, :width]
    return 0.5 + REACH * x.tanh()


def prepared(x: Tensor, layer: Layer) -> Tensor:
    """Return what a layer's convolution is given: enlarged where it must be, its border reflected."""
    rim = layer.kernel // 2
    x = F.interpolate(x, scale_factor=2, mode="nearest") if layer.enlarges else x
    return F.pad(x, (rim, rim, rim, rim), mode="reflect")


def parameters(width: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a network's tensors by name."""
    found: dict[str, tuple[int, ...]] = {}
    for layer in layers(width):
        found[f"{layer.name}.weight"] = (layer.outputs, layer.inputs, layer.kernel, layer.kernel)
        found |= {f"{layer.name}.{kind}": (layer.outputs,) for kind in layer.kinds}
    return found


class Learner(nn.Module):
    """The network as it learns: parameters in float32, convolutions in ``dtype``; plain autograd."""

    def __init__(self, width: int, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.dtype = dtype
        self.layers = {layer.name: layer for layer in layers(width)}
        for name, shape in parameters(width).items():
            layer, _, kind = name.partition(".")
            tensor = torch.empty(shape)
            if kind == "weight":
                nn.init.kaiming_normal_(tensor, nonlinearity="relu")
                tensor *= 1.0 if self.layers[layer].normalised else 0.1 / self.slowed(layer)
            else:
                tensor.fill_(1.0 if kind == "scale" and layer not in _SILENT else 0.0)
            self.register_parameter(f"{layer}_{kind}", nn.Parameter(tensor))

    def forward(self, picture: Tensor) -> Tensor:
        """Return the picture (B, 3, H, W) restyled; see :func:`chained`."""
        return chained(picture, self._act)

    def slowed(self, name: str) -> float:
        """What the weights of a layer are multiplied by before they are used.

        Adam moves each of the thousands of weights of the last convolution by as much as any other, at first
        all the same way, and nothing normalises what they make: the first step would drive the tanh to its
        end everywhere, where it has no gradient. So they are kept large, and their product small.
        """
        layer = self.layers[name]
        return 1.0 if layer.normalised else (layer.inputs * layer.kernel**2) ** -0.5

    def tensors(self) -> dict[str, Tensor]:
        """Return what was learnt, by the names of :func:`parameters`."""
        found = {name.replace("_", "."): t.detach() for name, t in self.state_dict().items()}
        return {n: t * self.slowed(n[:-7]) if n.endswith(".weight") else t for n, t in found.items()}

    def _act(self, x: Tensor, name: str, relu: bool) -> Tensor:
        layer = self.layers[name]
        own = {kind: getattr(self, f"{name}_{kind}") for kind in ("weight", *layer.kinds)}
        dtype = self.dtype if layer.normalised else torch.float32  # the picture itself is made in float32
        weight = (own["weight"] * self.slowed(name)).to(dtype, memory_format=torch.channels_last)
        given = prepared(x.to(dtype, memory_format=torch.channels_last), layer)
        if not layer.normalised:
            return F.conv2d(given, weight, own["bias"], layer.stride)
        made = F.conv2d(given, weight, None, layer.stride)
        # A group for each channel is instance normalisation, and is fast where channels lie last.
        made = F.group_norm(made.float(), layer.outputs, own["scale"], own["shift"], EPSILON)
        return (made.relu() if relu else made).to(dtype)


_SILENT = tuple(f"res{n}b" for n in range(1, BLOCKS + 1))
"""Layers that begin with a scale of 0, so that each residual block begins as nothing but its input."""


@dataclass(frozen=True, kw_only=True)
class Facts(Card):
    """What a model's file says of it; ``losses`` are ``content`` and ``style``, unweighted."""

    width: int
    """Channels at full size."""
    style: Mapping[str, str]
    """``name`` and ``sha256`` of the picture whose look it learnt, and its ``terms``."""


@dataclass(frozen=True, kw_only=True)
class FeedForwardWeights:
    """What a network has learnt; float32, on the CPU."""

    name: str
    sha256: str
    facts: Facts
    tensors: Mapping[str, Tensor]
    """By the names of :func:`parameters`."""

    @staticmethod
    def of(
        name: str, sha256: str, tensors: Mapping[str, Tensor], card: Mapping[str, Any]
    ) -> FeedForwardWeights:
        """Build from the tensors and the card of a file; :class:`ValueError` for those of something else."""
        try:
            facts = Facts(**card)
            shapes = parameters(facts.width)
            whole = {n: tensors[n].float() for n in shapes}
        except (KeyError, TypeError, RuntimeError) as error:
            raise ValueError(f"it lacks what it should have, or has more ({error})") from error
        for n, shape in shapes.items():
            if tuple(whole[n].shape) != shape:
                raise ValueError(f"{n} has the shape {tuple(whole[n].shape)}, where {shape} was expected")
            if not bool(whole[n].isfinite().all()):
                raise ValueError(f"{n} holds what is no number")
        return FeedForwardWeights(name=name, sha256=sha256, facts=facts, tensors=whole)

    def to_json(self) -> dict[str, Any]:
        """Return all but the tensors as JSON values, for a checkpoint."""
        return {"name": self.name, "sha256": self.sha256, "card": asdict(self.facts)}

    def write(self, path: Path) -> None:
        """Write it in half precision; :class:`katazome.errors.OutputError` when it cannot be."""
        halved = {name: tensor.detach().half() for name, tensor in self.tensors.items()}
        KIND.write(path, halved, asdict(self.facts))


SHELF = Shelf(KIND, DEFAULT, FeedForwardWeights, FeedForwardWeights.of)
"""The networks for one style there are."""


class FeedForward:
    """A network made ready for one device and data type.

    Call it with a picture (1, 3, H, W), sRGB in [0, 1]; it returns the picture restyled, float32 (float64 of
    float64), in [0, 1]. No gradient passes through it.
    """

    def __init__(
        self,
        weights: FeedForwardWeights,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.weights, self.dtype = weights, dtype
        self.device = torch.device(device)
        self._layers = {layer.name: layer for layer in layers(weights.facts.width)}
        # The picture itself is made in float32: a value of bfloat16 near 1 is a whole grey level wide.
        self._exact = dtype if dtype == torch.float64 else torch.float32
        placed = {name: t.to(self.device, self._type(name)) for name, t in weights.tensors.items()}
        # Channels last, or the convolutions' results would not be, and would have to be copied into place.
        last = torch.channels_last
        self._tensors = {n: t.contiguous(memory_format=last) if t.ndim == 4 else t for n, t in placed.items()}

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes for each pixel at the most: of what the last enlargement is made from, and what it makes."""
        width = self.weights.facts.width
        return (2 * width // 4 + width) * torch.empty((), dtype=self.dtype).element_size()

    def __call__(self, picture: Tensor) -> Tensor:
        """Return ``picture`` restyled."""
        if picture.ndim != 4 or picture.shape[:2] != (1, 3) or not picture.is_floating_point():
            raise MethodError(f"the network takes a float picture (1, 3, H, W), got {tuple(picture.shape)}")
        self.check(*picture.shape[2:])
        with torch.no_grad():
            return chained(picture.to(self.device), self._act).clamp(0, 1).contiguous()

    @staticmethod
    def check(height: int, width: int) -> None:
        """Raise :class:`OptionError` for a picture that is too small."""
        if min(height, width) < SMALLEST:
            raise OptionError(
                f"{width} x {height} px is too small: each side needs at least {SMALLEST} px; "
                "choose a larger --size"
            )

    def _type(self, name: str) -> torch.dtype:
        layer, _, kind = name.partition(".")
        return self.dtype if kind == "weight" and layer != "out" else self._exact

    def _act(self, x: Tensor, name: str, relu: bool) -> Tensor:
        layer, own = self._layers[name], self._tensors
        weight = own[f"{name}.weight"]
        if not layer.normalised:
            return convolved(x, layer, weight, own[f"{name}.bias"])
        moments: list[Tensor] = []
        made = convolved(x, layer, weight, moments=moments)
        mean, variance = whole_moments(moments)
        scale = own[f"{name}.scale"].to(mean) * (variance + EPSILON).rsqrt()
        shift = own[f"{name}.shift"].to(mean) - scale * mean
        scale, shift = (t.to(self._exact).view(1, -1, 1, 1) for t in (scale, shift))
        rows = _rows(made.shape[1] * made.shape[3])
        for band in torch.split(made, rows, 2):
            done = band.to(self._exact).mul_(scale).add_(shift)
            band.copy_(done.relu_() if relu else done)
        return made


def convolved(
    x: Tensor,
    layer: Layer,
    weight: Tensor,
    bias: Tensor | None = None,
    moments: list[Tensor] | None = None,
) -> Tensor:
    """Return a layer's convolution of a whole map (1, C, H, W), made in bands of rows; channels last.

    What a band is made from is copied out of the map: enlarged, and with its border reflected. ``moments``
    is given positions, mean and variance of each band (3, C), for :func:`whole_moments`.
    """
    rows, columns = (layer.size(side) for side in x.shape[2:])
    made = torch.empty(
        (1, layer.outputs, rows, columns),
        dtype=weight.dtype,
        device=x.device,
        memory_format=torch.channels_last,
    )
    across = _read(layer, x.shape[3], 0, columns).to(x.device)
    # Copied position by position, which is quick where channels lie last.
    positions = x[0].permute(1, 2, 0)
    step = _rows(len(across) * layer.inputs * layer.stride + columns * layer.outputs)
    for top in range(0, rows, step):
        bottom = min(rows, top + step)
        down = _read(layer, x.shape[2], top, bottom).to(x.device)
        given = positions.index_select(0, down).index_select(1, across).to(weight.dtype)
        band = F.conv2d(given.permute(2, 0, 1)[None], weight, bias, layer.stride)
        made[:, :, top:bottom] = band
        if moments is not None:
            exact = band if band.dtype == torch.float64 else band.float()
            seen = exact.permute(0, 2, 3, 1).reshape(-1, layer.outputs)
            mean = seen.mean(0)  # in two passes, which is seven times as quick here as torch's one
            moments.append(
                torch.stack([torch.full_like(mean, len(seen)), mean, (seen - mean).square_().mean(0)])
            )
    return made


def whole_moments(bands: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return mean and variance (C,) of a whole map from positions, mean and variance (3, C) of its bands."""
    counts, means, variances = torch.stack(list(bands), 1).to(exact_dtype(bands[0].device))
    share = counts / counts.sum(0)
    mean = (share * means).sum(0)
    return mean, (share * (variances + (means - mean).square())).sum(0)


def _read(layer: Layer, side: int, start: int, stop: int) -> Tensor:
    """Return which positions, of ``side``, a convolution reads to make those from ``start`` to ``stop``."""
    rim, grown = layer.kernel // 2, side * (1 + layer.enlarges)
    places = torch.arange(start * layer.stride - rim, (stop - 1) * layer.stride + rim + 1).abs()
    return (grown - 1 - (grown - 1 - places).abs()) // (1 + layer.enlarges)


def _rows(values: int) -> int:
    """Return how many rows of so many values are worked on at once."""
    return max(1, _BAND_VALUES // values)
