"""MTCNN: three small networks that find faces and five landmarks of each.

Source: Zhang, Zhang, Li & Qiao, "Joint face detection and alignment using multitask cascaded convolutional
networks", IEEE Signal Processing Letters 2016. The first looks at every 12 px window of a picture, the second
at what the first proposed, the third decides and places the landmarks. How the three are used stands in
:mod:`katazome.faces.detect`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from katazome.errors import WeightsError
from katazome.weights import catalogue, store

NETWORKS = ("mtcnn-pnet", "mtcnn-rnet", "mtcnn-onet")
"""Their names in the catalogue of weights; one archive holds all three."""

_SHIFT, _SCALE = 127.5 / 255, 128 / 255


@dataclass(frozen=True)
class FaceNetworks:
    """The three networks by their tensors; see :func:`open_faces`. Pictures are sRGB in [0, 1]."""

    proposing: Mapping[str, Tensor]
    refining: Mapping[str, Tensor]
    deciding: Mapping[str, Tensor]

    def propose(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Return for each window of 12 px, 2 px apart, of a picture (1, 3, H, W) what is seen in it.

        The probability of a face (h, w), and by how much of its side each edge (left, top, right, bottom)
        is to move (4, h, w).
        """
        net = self.proposing
        x = _unit(net, "1", (picture - _SHIFT) / _SCALE)
        x = F.max_pool2d(x, 2, 2, ceil_mode=True)
        x = _unit(net, "3", _unit(net, "2", x))
        scores = F.conv2d(x, net["conv4_1.weight"], net["conv4_1.bias"])
        moves = F.conv2d(x, net["conv4_2.weight"], net["conv4_2.bias"])
        return scores.softmax(1)[0, 1], moves[0]

    def refine(self, cuts: Tensor) -> tuple[Tensor, Tensor]:
        """Return the probability (B,) and the moves (B, 4) of what is seen in cuts (B, 3, 24, 24)."""
        net = self.refining
        x = _unit(net, "1", (cuts - _SHIFT) / _SCALE)
        x = _unit(net, "2", F.max_pool2d(x, 3, 2, ceil_mode=True))
        x = _unit(net, "3", F.max_pool2d(x, 3, 2, ceil_mode=True))
        x = F.prelu(_dense(net, "dense4", _flat(x)), net["prelu4.weight"])
        return _dense(net, "dense5_1", x).softmax(1)[:, 1], _dense(net, "dense5_2", x)

    def decide(self, cuts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the probability (B,), the moves (B, 4) and the landmarks of cuts (B, 3, 48, 48).

        Landmarks (B, 5, 2) are (x, y) as shares of the cut's sides: the eye at the left, the eye at the
        right, the nose, the mouth's corners at the left and at the right.
        """
        net = self.deciding
        x = _unit(net, "1", (cuts - _SHIFT) / _SCALE)
        x = _unit(net, "2", F.max_pool2d(x, 3, 2, ceil_mode=True))
        x = _unit(net, "3", F.max_pool2d(x, 3, 2, ceil_mode=True))
        x = _unit(net, "4", F.max_pool2d(x, 2, 2, ceil_mode=True))
        x = F.prelu(_dense(net, "dense5", _flat(x)), net["prelu5.weight"])
        places = _dense(net, "dense6_3", x).view(-1, 2, 5).transpose(1, 2)
        return _dense(net, "dense6_1", x).softmax(1)[:, 1], _dense(net, "dense6_2", x), places


def _unit(net: Mapping[str, Tensor], number: str, x: Tensor) -> Tensor:
    x = F.conv2d(x, net[f"conv{number}.weight"], net[f"conv{number}.bias"])
    return F.prelu(x, net[f"prelu{number}.weight"])


def _dense(net: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.linear(x, net[f"{name}.weight"], net[f"{name}.bias"])


def _flat(x: Tensor) -> Tensor:
    """Return positions as the networks were trained with them: column by column, channels last."""
    return x.permute(0, 3, 2, 1).flatten(1)


def open_faces() -> FaceNetworks:
    """Open the networks of the catalogue, fetched at the first use; they run on the CPU."""
    for name in NETWORKS:
        store.fetch(name)
    return faces_of(*(store.load(name) for name in NETWORKS))


def faces_of(
    proposing: Mapping[str, Tensor], refining: Mapping[str, Tensor], deciding: Mapping[str, Tensor]
) -> FaceNetworks:
    """Build the networks from tensors by their published names.

    Raises :class:`WeightsError` when they are of other networks.
    """
    wanted = (
        (proposing, "conv4_2.weight", (4, 32, 1, 1)),
        (refining, "dense4.weight", (128, 576)),
        (deciding, "dense6_3.weight", (10, 256)),
    )
    for tensors, name, shape in wanted:
        found = tuple(tensors[name].shape) if name in tensors else None
        if found != shape:
            raise WeightsError(f"these weights are not MTCNN's: {name} is {found}, expected {shape}")
    return FaceNetworks(proposing, refining, deciding)


def faces_sha256() -> str:
    """Return what the networks are known by: the hash of the last one, which places the landmarks."""
    return catalogue.entry(NETWORKS[-1]).sha256
