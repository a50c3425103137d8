"""Decoders: from what VGG-19 sees at ``relu1_1`` to ``relu4_1`` back to a picture.

A decoder mirrors the network down to its layer: each convolution stands for one of the encoder's, in reverse
and with its channels exchanged, and where that pools, this enlarges to the nearest. The border is reflected,
each convolution but the last is followed by a ReLU, nothing is normalised and nothing squashed.

Sources: Huang & Belongie, "Arbitrary style transfer in real-time with adaptive instance normalization", ICCV
2017 (the published decoder of ``relu4_1``, :func:`published`); Li et al., "Universal style transfer via
feature transforms", NIPS 2017 (a decoder for each layer, learnt on reconstruction; ours are made by
``katazome train decoder``). Departure: an enlargement and the convolution after it are one operation
(:class:`katazome.networks.kernels.Doubling`), which gives the same numbers with less than half the work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.resources import as_file
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from katazome.errors import GivenWeightsError, MethodError, OptionError
from katazome.networks.kernels import Convolution, Doubling, PaddingPair, pad
from katazome.networks.vgg import BLOCKS, tap
from katazome.weights import catalogue, store
from katazome.weights import own as own_models
from katazome.weights.flavours import VGGWeights
from katazome.weights.modelfile import Card, Kind

KIND = Kind("decoder", 1, "decoder", "katazome train decoder --images DIR -o MODEL")
PUBLISHED = "adain-decoder"
"""The catalogue's decoder of ``relu4_1``."""

LAYERS = tuple(f"relu{level}_1" for level in range(1, 5))

_PUBLISHED_PLACES = ("1", "5", "8", "11", "14", "18", "21", "25", "28")
_WINOGRAD_FROM = 256  # channels, as in the encoder


def mirrored(layer: str) -> tuple[str, ...]:
    """Return the encoder's convolutions that a decoder of ``layer`` mirrors, in the decoder's order."""
    last = LAYERS.index(layer) + 1
    names = [f"conv{block}_{i}" for block in range(1, last) for i in range(1, BLOCKS[block - 1] + 1)]
    return (f"conv{last}_1", *reversed(names))


def enlarges(name: str) -> bool:
    """Whether the picture grows before a mirrored convolution: it is the last of a block that pools."""
    block, index = int(name[4]), int(name[-1])
    return index == BLOCKS[block - 1]


@dataclass(frozen=True, kw_only=True)
class Facts(Card):
    """What a decoder's file says of it; ``losses``: RMS errors of ``pixels`` (of 0..1) and ``features``."""

    layer: str

    def __post_init__(self) -> None:
        if self.layer not in LAYERS:
            raise ValueError(f"its layer is {self.layer}")


@dataclass(frozen=True, kw_only=True)
class DecoderWeights:
    """The convolutions of a decoder; float32, on the CPU."""

    name: str
    sha256: str
    facts: Facts
    convs: Mapping[str, tuple[Tensor, Tensor]]
    """By the name of the encoder's convolution that each mirrors: weight (O, I, 3, 3) and bias (O,)."""

    def write(self, path: Path) -> None:
        """Write it in half precision; :class:`katazome.errors.OutputError` when it cannot be."""
        KIND.write(path, halved(self.convs), asdict(self.facts))


def halved(convs: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Return the tensors of a decoder's file, by name, in half precision."""
    pairs = {
        f"{name}.{kind}": t for name, pair in convs.items() for kind, t in zip(_KINDS, pair, strict=True)
    }
    return {name: tensor.detach().half() for name, tensor in pairs.items()}


_KINDS = ("weight", "bias")


class Decoder:
    """A decoder made ready for one device and data type.

    Call it with features (B, C, h, w) of its layer; it returns (B, 3, h stride, w stride) float32 (float64 of
    float64), sRGB in about [0, 1], not clipped. No gradient passes through it.
    """

    def __init__(self, weights: DecoderWeights, device: torch.device | str = "cpu") -> None:
        self.weights = weights
        self.device = torch.device(device)
        self._kept: dict[torch.dtype, tuple[Convolution | Doubling, ...]] = {}

    @property
    def layer(self) -> str:
        """The tap whose features it reads."""
        return self.weights.facts.layer

    def __call__(self, features: Tensor) -> Tensor:
        """Return the picture that ``features`` are of."""
        expected = self.weights.convs[mirrored(self.layer)[0]][0].shape[1]
        if features.ndim != 4 or features.shape[1] != expected:
            raise MethodError(
                f"the decoder of {self.layer} takes features (B, {expected}, h, w), "
                f"got {tuple(features.shape)}"
            )
        if min(features.shape[2:]) < 2:
            raise OptionError("the picture is too small to be decoded; choose a larger --size")
        x = features.contiguous(memory_format=torch.channels_last)
        *steps, last = self._steps(features.dtype)
        with torch.no_grad():
            for step in steps:
                x = step.forward(x) if isinstance(step, Doubling) else step.forward(x, _REFLECT).relu_()
            # The picture itself is made in float32: a value of bfloat16 near 1 is a whole grey level wide.
            x = x if x.dtype == torch.float64 else x.float()
            return F.conv2d(pad(x, _REFLECT), last.weight, last.bias).contiguous()

    def _steps(self, dtype: torch.dtype) -> tuple[Convolution | Doubling, ...]:
        if dtype not in self._kept:
            names = mirrored(self.layer)
            self._kept[dtype] = tuple(self._step(name, dtype, last=name == names[-1]) for name in names)
        return self._kept[dtype]

    def _step(self, name: str, dtype: torch.dtype, *, last: bool) -> Convolution | Doubling:
        if last and dtype != torch.float64:
            dtype = torch.float32
        weight, bias = (t.to(self.device, dtype) for t in self.weights.convs[name])
        weight = weight.contiguous(memory_format=torch.channels_last)
        if enlarges(name):
            return Doubling(name, weight, bias)
        wide = max(weight.shape[:2]) >= _WINOGRAD_FROM and not last
        return Convolution(name, weight, bias, wide and dtype == torch.float32 and self.device.type == "cpu")


_REFLECT: PaddingPair = ("reflect", "reflect")


class Decoders:
    """The decoders that go with a VGG-19, by layer: each opened when it is first asked for, then kept.

    ``given`` are decoders, or their files, that are taken instead of the program's own.
    """

    def __init__(
        self,
        trunk: VGGWeights,
        device: torch.device | str = "cpu",
        given: tuple[Path | DecoderWeights, ...] = (),
    ) -> None:
        self._trunk, self._device = trunk, device
        self._open: dict[str, Decoder] = {}
        for one in given:
            weights = one if isinstance(one, DecoderWeights) else open_decoder(one)
            self._add(weights)

    def __call__(self, layer: str) -> Decoder:
        """Return the decoder of a layer, ``relu1_1`` to ``relu4_1``.

        Raises :class:`katazome.errors.WeightsError` when it cannot be had, or reads another network.
        """
        name = tap(layer).name
        if name not in LAYERS:
            raise OptionError(f"there is no decoder of {name}, only of {', '.join(LAYERS)}")
        if name not in self._open:
            self._add(published() if name == "relu4_1" else own(name))
        return self._open[name]

    def _add(self, weights: DecoderWeights) -> None:
        if weights.facts.trunk["sha256"] != self._trunk.sha256:
            raise GivenWeightsError(
                f"the decoder {weights.name} reads the network {weights.facts.trunk['name']}, in use is "
                f"{self._trunk.name}; leave --weights out, or give a decoder of that network by --decoders"
            )
        self._open[weights.facts.layer] = Decoder(weights, self._device)


def published() -> DecoderWeights:
    """Return the decoder of ``relu4_1`` that was published with AdaIN; fetched at the first use."""
    store.fetch(PUBLISHED)
    tensors = store.load(PUBLISHED)
    convs = {
        name: (tensors[f"{place}.weight"], tensors[f"{place}.bias"])
        for name, place in zip(mirrored("relu4_1"), _PUBLISHED_PLACES, strict=True)
    }
    entry, trunk = catalogue.entry(PUBLISHED), catalogue.entry("vgg19")
    facts = Facts(layer="relu4_1", trunk={"name": trunk.name, "sha256": trunk.sha256}, terms=entry.licence)
    return DecoderWeights(name=PUBLISHED, sha256=entry.sha256, facts=facts, convs=convs)


def own(layer: str) -> DecoderWeights:
    """Return the program's own decoder of a layer, which comes with it."""
    name = f"{KIND.name}-{layer}"
    with as_file(own_models.folder() / f"{name}.safetensors") as path:
        return open_decoder(path, name)


def open_decoder(path: Path, name: str = "") -> DecoderWeights:
    """Read a file of ``katazome train decoder``; :class:`GivenWeightsError` when it is none."""
    tensors, card, sha256 = KIND.read(path)
    try:
        facts = Facts(**card)
        convs = _convs(tensors, facts.layer)
    except (KeyError, TypeError, ValueError) as error:
        raise KIND.wrong(path, str(error)) from error
    return DecoderWeights(name=name or f"{KIND.name}-{facts.layer}", sha256=sha256, facts=facts, convs=convs)


def _convs(tensors: Mapping[str, Tensor], layer: str) -> dict[str, tuple[Tensor, Tensor]]:
    convs: dict[str, tuple[Tensor, Tensor]] = {}
    inputs: int | None = None
    for name in mirrored(layer):
        weight, bias = (tensors[f"{name}.{kind}"].float() for kind in _KINDS)
        fits = weight.ndim == 4 and weight.shape[2:] == (3, 3) and bias.shape == weight.shape[:1]
        if not fits or inputs not in (None, weight.shape[1]):
            raise ValueError(f"{name} has the shapes {tuple(weight.shape)} and {tuple(bias.shape)}")
        convs[name], inputs = (weight, bias), weight.shape[0]
    if inputs != 3:
        raise ValueError(f"it ends in {inputs} channels, and a picture has 3")
    return convs
