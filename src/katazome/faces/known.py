"""What is known of the faces of a collection: where they are, and what the network sees in them.

Computed once and kept on disk (:mod:`katazome.collections.cache`): of each picture five landmarks and the
features of ``LAYER`` of the face in its frame, averaged over 2 x 2 positions. Of a picture without a face
nothing but that is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from katazome.collections.cache import FeatureCache, Features, Progress
from katazome.collections.folders import Source
from katazome.device import supports_bfloat16
from katazome.faces.align import TEMPLATE, Frame, fitted, frame_of, square_in
from katazome.faces.detect import Face, find_faces
from katazome.networks.faces import FaceNetworks, faces_sha256
from katazome.networks.vgg import Encoder

SIDE = 160
"""Side (px) at which the collection's pictures are looked at."""

CUT = 112
"""Side (px) of the faces that the network sees."""

LAYER = "relu5_1"

_SMALLEST = 40  # px of SIDE: of a collection's picture the face is the subject
_MARKS = 10
_BLOCK = 512


def seen_of(encoder: Encoder, square: Tensor) -> Tensor:
    """Return what the network sees in squares (B, 3, CUT, CUT): rows (B, D)."""
    found = encoder(square.to(encoder.device), [LAYER])[LAYER].float()
    return F.avg_pool2d(found, 2, ceil_mode=True).flatten(1)


@dataclass(frozen=True)
class KnownFaces:
    """Faces of a collection: ``marks`` (N, 5, 2) as shares of the picture's middle square, and features.

    ``there`` (N,) says of which of the ``sources`` anything is known; of things that are not faces (without
    ``aligned``) every picture that can be read is.
    """

    sources: tuple[Source, ...]
    there: NDArray[np.bool_]
    marks: Tensor
    features: Features
    aligned: bool

    def away(self, one: Tensor) -> NDArray[np.float64]:
        """Return the distance of each picture's features to those (D,) of one; infinite where none are."""
        found = np.full(len(self.sources), np.inf)
        numbers = np.flatnonzero(self.there)
        row_of = {source: place for place, source in enumerate(self.features.sources)}
        for start in range(0, len(numbers), _BLOCK):
            some = numbers[start : start + _BLOCK]
            rows = self.features.rows([row_of[self.sources[n]] for n in some])[:, _MARKS + 1 :]
            found[some] = (rows - one).norm(dim=1).numpy()
        return found

    def pose(self, marks: Tensor) -> NDArray[np.float64]:
        """Return how badly each face can be brought onto one with these landmarks; see :func:`fitted`."""
        _, left = fitted(marks, self.marks)
        found: NDArray[np.float64] = np.where(self.there, left.numpy(), np.inf)
        return found


def known_faces(
    encoder: Encoder, networks: FaceNetworks | None, sources: Sequence[Source]
) -> Generator[Progress, None, KnownFaces]:
    """Find out what there is to know of pictures, or take it from the cache.

    ``networks`` find the faces; None for things that are not faces, of which the middle square is seen.
    """
    fast = torch.bfloat16 if supports_bfloat16(encoder.device) else torch.float32
    trunk = encoder.with_(dtype=fast)

    def compute(pictures: Tensor) -> Tensor:
        frames = [_frame(networks, one[None]) for one in pictures]
        squares = [
            torch.zeros(1, 3, CUT, CUT) if frame is None else frame[1].cut(one[None])
            for one, frame in zip(pictures, frames, strict=True)
        ]
        seen = seen_of(trunk, torch.cat(squares)).cpu()
        heads = [
            torch.zeros(_MARKS + 1) if f is None else torch.cat((torch.ones(1), f[0].flatten().float()))
            for f in frames
        ]
        return torch.cat((torch.stack(heads), seen), 1)

    key = {
        "network": encoder.weights.sha256,
        "faces": None if networks is None else faces_sha256(),
        "frame": TEMPLATE,
        "layer": LAYER,
        "cut": CUT,
        "precision": str(fast).removeprefix("torch."),
    }
    positions = -(-(CUT // 16) // 2)
    length = _MARKS + 1 + encoder.channels(LAYER) * positions * positions
    features = yield from FeatureCache(key, SIDE, (length,), compute).fill(sources)
    return _known(tuple(sources), features, aligned=networks is not None)


def _known(sources: tuple[Source, ...], features: Features, *, aligned: bool) -> KnownFaces:
    there = np.zeros(len(sources), np.bool_)
    marks = torch.zeros(len(sources), 5, 2, dtype=torch.float64)
    place = {source: number for number, source in enumerate(sources)}
    for start in range(0, len(features), _BLOCK):
        rows = range(start, min(start + _BLOCK, len(features)))
        heads = features.heads(rows, _MARKS + 1)
        numbers = [place[features.sources[row]] for row in rows]
        there[numbers] = heads[:, 0].numpy() > 0.5
        marks[numbers] = heads[:, 1:].double().view(-1, 5, 2)
    return KnownFaces(sources, there, marks, features, aligned)


def _frame(networks: FaceNetworks | None, picture: Tensor) -> tuple[Tensor, Frame] | None:
    """Return the landmarks as shares of the picture, and the frame; None where there is no face."""
    height, width = picture.shape[2:]
    if networks is None:
        return torch.zeros(5, 2), square_in((height, width), CUT)
    found = find_faces(networks, picture, _SMALLEST)
    if not found:
        return None
    face = min(found, key=_off_middle)
    return torch.tensor(face.landmarks), frame_of(face.marks(height, width), CUT)


def _off_middle(face: Face) -> float:
    left, top, right, bottom = face.box
    return (left + right - 1) ** 2 + (top + bottom - 1) ** 2


View = Callable[[Source, Tensor], Tensor]
"""From a collection's picture, and its middle square (1, 3, H, H), to what is compared (1, 3, side, side)."""


def onto(known: KnownFaces, marks: Tensor | None, side: int, loaded: int) -> View:
    """Return the view of a collection's pictures as the input stands in its frame of ``side`` px.

    ``marks`` (5, 2) are the input's landmarks in px of that frame, onto which each face is brought; None for
    things that are not faces. ``loaded`` is the side of the squares that are handed in.
    """
    if marks is None:
        return lambda source, square: square_in((loaded, loaded), side).cut(square)  # noqa: ARG005
    maps, _ = fitted(marks, known.marks * loaded)
    place = {source: number for number, source in enumerate(known.sources)}
    return lambda source, square: Frame(maps[place[source]], side).cut(square)
