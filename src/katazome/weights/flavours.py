"""VGG-19 from a file, whichever of the three usual flavours it is of.

One architecture, three ways of writing it down, each with its own input:

* **normalised**: an ``nn.Sequential`` whose first layer, a 1x1 convolution, maps RGB in [0,1] to the
  network's own input (the catalogue's ``vgg19``);
* **torchvision**: ``features.N.*``, trained on RGB less ImageNet's mean, over its standard deviation;
* **caffe**: Simonyan and Zisserman's network or a rescaling of it, under ``conv1_1.*`` or ``features.N.*``
  names, acting on BGR in 0..255 less the mean.

Which one it is, is read from the tensors, never from the file's name. Only one case is not plain from the
keys: ``features.N`` may be torchvision's or Caffe's. The size of the weights does not tell, as both
publish first filters of about unit size though one acts on inputs near 1 and the other near 100. But all
of Caffe's flavour descends from one training, and rescaling a filter by a positive factor does not turn it.
So the place and sign of each first filter's strongest tap is a fingerprint: 64 small numbers, of which an
unrelated network shares one or two. They match in BGR order (Caffe) or after exchanging blue and red (the
same filters rewritten for torchvision's input: the deviations of the three channels hardly differ).
Filters that match neither way are of another training: torchvision's, unless they are so weak that
they can only be meant for 0..255.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from katazome.errors import GivenWeightsError
from katazome.weights import catalogue, store
from katazome.weights.catalogue import Progress

Flavour = Literal["normalised", "torchvision", "caffe"]

LAYERS = tuple(
    f"conv{block}_{n}" for block, count in enumerate((2, 2, 4, 4, 4), 1) for n in range(1, count + 1)
)
"""The 16 convolutions, from the picture upwards."""

_WIDTHS = {"1": 64, "2": 128, "3": 256, "4": 512, "5": 512}
# Places in the two nn.Sequential layouts: with reflect padding as modules, and with padding in the layer.
_NORMALISED = (2, 5, 9, 12, 16, 19, 22, 25, 29, 32, 35, 38, 42, 45, 48, 51)
_FEATURES = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)

_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)
_CAFFE_MEAN = (103.939, 116.779, 123.68)

# Of each first filter of Simonyan and Zisserman's network: one more than the index (channel BGR, row, column)
# of its strongest tap, with that tap's sign.
# fmt: off
_FINGERPRINT = (
    -18, 5, 14, -17, -16, 5, -21, -16, -14, -11, 11, 11, 14, -21, -11, -14, 26, 13, -14, 26, -18, 20,
    -23, -10, 13, 5, -11, 14, -14, 20, -19, 7, -11, 23, -12, 15, -23, 17, 11, -14, 14, -17, 12, -17,
    13, 12, 23, -10, -15, -22, -23, -15, -14, -11, -12, 15, -13, -15, 15, -5, 15, -9, -12, 13,
)
# fmt: on
_ALIKE = 32  # of 64; the same network shares 60 or more, another one or two
_WEAK = 0.1  # a filter's norm; one made for inputs near 1 answers with less than a tenth below it


@dataclass(frozen=True, slots=True, kw_only=True)
class VGGWeights:
    """The convolutions of a VGG-19 and the affine map that makes their input; float32, on the CPU."""

    name: str
    """The catalogue's name or the file's, without its folder."""
    flavour: Flavour
    sha256: str
    """Of the file as published (catalogue) or as given."""
    colour: tuple[Tensor, Tensor]
    """Matrix (3, 3) and bias (3,): input of ``conv1_1`` = matrix @ RGB in [0,1] + bias, at each pixel."""
    convs: Mapping[str, tuple[Tensor, Tensor]]
    """``conv1_1`` .. ``conv5_4``: weight (out, in, 3, 3) and bias (out,)."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Sent as arrays: tensors would go through shared memory, of which a container has little.
        pairs = {"": self.colour, **self.convs}
        plain = {name: (weight.numpy(), bias.numpy()) for name, (weight, bias) in pairs.items()}
        return _from_arrays, (self.name, self.flavour, self.sha256, plain)


def _from_arrays(name: str, flavour: Flavour, sha256: str, plain: Mapping[str, Any]) -> VGGWeights:
    pairs = {key: (torch.tensor(weight), torch.tensor(bias)) for key, (weight, bias) in plain.items()}
    colour = pairs.pop("")
    return VGGWeights(name=name, flavour=flavour, sha256=sha256, colour=colour, convs=pairs)


def open_vgg(source: str | Path | None = None, *, progress: Progress | None = None) -> VGGWeights:
    """Return the VGG-19 of a file (.safetensors or .pth), or the catalogue's ``vgg19``, fetched if need be.

    ``progress`` is told of the fetching: bytes so far, bytes in all. Raises :class:`WeightsError` when
    the file cannot be read as weights, or is not a VGG-19 in one of the three flavours.
    """
    if source is None:
        store.fetch("vgg19", progress=progress)
        return _recognise(store.load("vgg19"), "vgg19", catalogue.entry("vgg19").sha256)
    path = Path(source).expanduser()
    tensors, sha256 = _read(path)
    return _recognise(tensors, path.name, sha256)


def _read(path: Path) -> tuple[dict[str, Tensor], str]:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise GivenWeightsError(
            f"there is no weights file {path}; give a .safetensors or .pth file"
        ) from error
    except OSError as error:
        raise GivenWeightsError(f"the weights file {path} cannot be read ({error.strerror})") from error
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        # A safetensors file begins with the length of a JSON object; all that torch writes does not.
        if content[8:9] == b"{":
            return safetensors.torch.load(content), sha256
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise GivenWeightsError(
            f"{path} holds more than tensors, or is no weights file; nothing in it was run. "
            "Save the network's state_dict alone, best as .safetensors"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise GivenWeightsError(
            f"{path} cannot be read as .safetensors or .pth: it is cut short or damaged "
            f"({len(content)} bytes); get it again"
        ) from error
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict) or not loaded:
        raise GivenWeightsError(f"{path} holds a {type(loaded).__name__}, not tensors by name (a state_dict)")
    return {str(key): value for key, value in loaded.items() if isinstance(value, Tensor)}, sha256


def _recognise(tensors: Mapping[str, Tensor], name: str, sha256: str) -> VGGWeights:
    """Tell the flavour, check every layer, and return the network in float32."""
    tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
    if "0.weight" in tensors and tensors["0.weight"].shape[2:] == (1, 1):
        convs = _convs(tensors, name, [str(n) for n in _NORMALISED])
        matrix, bias = _pair(tensors, "0", (3, 3, 1, 1), name, "the colour map")
        return VGGWeights(
            name=name, flavour="normalised", sha256=sha256, colour=(matrix[:, :, 0, 0], bias), convs=convs
        )
    if "conv1_1.weight" in tensors:
        convs = _convs(tensors, name, list(LAYERS))
    else:
        # Without the prefix where somebody saved the features alone.
        prefix = "" if "0.weight" in tensors else "features."
        convs = _convs(tensors, name, [f"{prefix}{n}" for n in _FEATURES])
    flavour = _trained_on(convs["conv1_1"][0], named="conv1_1.weight" in tensors)
    return VGGWeights(name=name, flavour=flavour, sha256=sha256, colour=_colour(flavour), convs=convs)


def _convs(tensors: Mapping[str, Tensor], name: str, keys: list[str]) -> dict[str, tuple[Tensor, Tensor]]:
    if {f"{key}.weight" for key in keys} != _convolutions(tensors).keys():
        raise GivenWeightsError(
            f"{name} is not a VGG-19 in a known flavour: it holds {_described(tensors)}. Expected were "
            "VGG-19's 16 convolutions, named as torchvision does (features.0.weight ..), as Caffe does "
            "(conv1_1.weight ..), or as the normalised network does (0.weight, 2.weight ..)"
        )
    convs: dict[str, tuple[Tensor, Tensor]] = {}
    inputs = 3
    for layer, key in zip(LAYERS, keys, strict=True):
        width = _WIDTHS[layer[4]]
        convs[layer] = _pair(tensors, key, (width, inputs, 3, 3), name, layer)
        inputs = width
    return convs


def _pair(
    tensors: Mapping[str, Tensor], key: str, shape: tuple[int, ...], name: str, layer: str
) -> tuple[Tensor, Tensor]:
    """Return weight and bias of one layer as finite float32 of the expected shapes."""
    pair = []
    for part, wanted in (("weight", shape), ("bias", shape[:1])):
        found = tensors.get(f"{key}.{part}")
        if found is None:
            raise GivenWeightsError(
                f"{name} lacks {key}.{part} ({layer}): the file is incomplete; get it again"
            )
        if tuple(found.shape) != wanted or not found.is_floating_point():
            raise GivenWeightsError(
                f"{name} is not a VGG-19: {key}.{part} ({layer}) has the shape {tuple(found.shape)} and type "
                f"{str(found.dtype).removeprefix('torch.')}, expected was {wanted} in floating point"
            )
        number = found.detach().float().contiguous()
        if not bool(number.sum().isfinite()):  # of the sum alone: 20 million values, at every start
            raise GivenWeightsError(
                f"{name} is damaged: {key}.{part} ({layer}) holds values that are not finite"
            )
        pair.append(number)
    return pair[0], pair[1]


def _trained_on(first: Tensor, *, named: bool) -> Flavour:
    """Tell whose input the first layer expects (see the module's text); ``first`` is (64, 3, 3, 3)."""
    as_bgr, as_rgb = _likeness(first), _likeness(first.flip(1))
    if max(as_bgr, as_rgb) >= _ALIKE:
        return "caffe" if as_bgr > as_rgb else "torchvision"
    weak = first.flatten(1).norm(dim=1).median().item() < _WEAK
    return "caffe" if weak or named else "torchvision"


def _likeness(first: Tensor) -> int:
    """Return how many of the 64 first filters have their strongest tap where the known network has it."""
    flat = first.flatten(1)
    place = flat.abs().argmax(1, keepdim=True)
    signed = ((place + 1) * flat.gather(1, place).sign())[:, 0]
    return int((signed == torch.tensor(_FINGERPRINT)).sum())


def _colour(flavour: Flavour) -> tuple[Tensor, Tensor]:
    if flavour == "torchvision":
        mean, deviation = torch.tensor(_MEAN), torch.tensor(_DEVIATION)
        return torch.diag(1 / deviation), -mean / deviation
    return 255 * torch.eye(3).flip(0), -torch.tensor(_CAFFE_MEAN)


def _convolutions(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the 3x3 kernels, in the file's order; a classifier's layers, wider or flat, are left out."""
    return {key: t for key, t in tensors.items() if t.ndim == 4 and t.shape[2:] == (3, 3)}


def _described(tensors: Mapping[str, Tensor]) -> str:
    """Say what a file holds instead, for a message."""
    kernels = list(_convolutions(tensors).values())
    if not kernels:
        return f"{len(tensors)} tensors and no 3x3 convolution"
    known = {
        (8, 3, 512): "VGG-11",
        (10, 3, 512): "VGG-13",
        (13, 3, 512): "VGG-16",
        (9, 512, 3): "a decoder of AdaIN",
    }
    inputs, outputs = kernels[0].shape[1], kernels[-1].shape[0]
    like = known.get((len(kernels), inputs, outputs))
    batch = any(key.endswith("running_mean") for key in tensors)
    return (
        f"{len(kernels)} 3x3 convolutions from {inputs} to {outputs} channels"
        f"{' with batch normalisation' if batch else ''}{f', like {like}' if like else ''}"
    )
