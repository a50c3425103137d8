"""Faces in a picture, found and marked by a cascade of three networks.

Source: Zhang et al. 2016 (:mod:`katazome.networks.faces`), with the pyramid step, thresholds and overlaps of
its published code. Departures: pictures are looked at no larger than ``LOOKED_AT`` px, so that photographs of
all sizes take about the same time; cuts are antialiased.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from katazome.errors import PictureError
from katazome.networks.faces import FaceNetworks
from katazome.pictures.resize import resize

LOOKED_AT = 1024
"""Longest side (px) at which a picture is looked at."""

SMALLEST = 24
"""Smallest side (px) of a face there; smaller ones are not looked for."""

STEP = 0.709
"""Factor from one size of the pyramid to the next: half the area."""

THRESHOLDS = (0.6, 0.7, 0.7)
"""Probability that a window must reach in each network."""

SURE = 0.9
"""A face must be this sure in the end: by 0.7 alone, knots in wood and folds of cloth have faces."""

_WINDOW, _STRIDE = 12, 2
_TOGETHER = 512


@dataclass(frozen=True)
class Face:
    """One face: all places are (x, y) as shares of the picture's width and height."""

    box: tuple[float, float, float, float]
    """left, top, right, bottom."""
    landmarks: tuple[tuple[float, float], ...]
    """The eye at the left of the picture, that at the right, the nose, the mouth's left and right corner."""
    score: float

    def marks(self, height: int, width: int) -> Tensor:
        """Return the landmarks (5, 2) in px of a picture of this size, float64; pixels are 1 wide."""
        return torch.tensor(self.landmarks, dtype=torch.float64) * torch.tensor([width, height])


def find_faces(networks: FaceNetworks, pixels: Tensor, smallest: int = SMALLEST) -> list[Face]:
    """Find the faces of a picture (1, 3, H, W), sRGB in [0, 1], from left to right.

    ``smallest`` is the smallest side (px) of a face in the picture as it is looked at, whose longest side is
    ``LOOKED_AT`` px at most.
    """
    height, width = pixels.shape[2:]
    factor = min(1.0, LOOKED_AT / max(height, width))
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    seen = resize(pixels.detach().cpu().float(), size).clamp(0, 1)
    with torch.no_grad():
        boxes = _proposed(networks, seen, smallest)
        boxes = _refined(networks, seen, boxes)
        return sorted(_decided(networks, seen, boxes), key=lambda face: face.box[0])


def one_face(faces: Sequence[Face], number: int, name: str) -> Face:
    """Return the face that is meant: ``number`` counts from 1, from left to right; 0 is the only one.

    Raises :class:`PictureError` where there is none, where 0 leaves open which, or there are fewer.
    """
    if not faces:
        raise PictureError(
            f"no face was found in '{name}'; a face must be upright, turned to the camera and not tiny"
        )
    if number == 0 and len(faces) > 1:
        raise PictureError(
            f"'{name}' has {len(faces)} faces; say which by its number, 1 (the leftmost) to {len(faces)}"
        )
    if number > len(faces):
        raise PictureError(f"'{name}' has {len(faces)} faces, there is no face {number}")
    return faces[max(number, 1) - 1]


def _proposed(networks: FaceNetworks, seen: Tensor, smallest: int) -> Tensor:
    """Return rows (left, top, right, bottom, score) in px of ``seen``."""
    height, width = seen.shape[2:]
    scale, found = _WINDOW / smallest, []
    while min(height, width) * scale >= _WINDOW:
        small = resize(seen, (max(_WINDOW, round(height * scale)), max(_WINDOW, round(width * scale))))
        scores, moves = networks.propose(small)
        rows, columns = torch.nonzero(scores >= THRESHOLDS[0], as_tuple=True)
        corner = torch.stack((columns, rows), 1) * _STRIDE
        square = torch.cat((corner, corner + _WINDOW), 1).float() / scale
        boxes = torch.cat((square, scores[rows, columns, None]), 1)
        kept = _suppressed(boxes, 0.5)
        found.append(_moved(boxes[kept], moves[:, rows, columns].T[kept], boxes[kept]))
        scale *= STEP
    boxes = torch.cat(found) if found else torch.zeros(0, 5)
    return boxes[_suppressed(boxes, 0.7)]


def _refined(networks: FaceNetworks, seen: Tensor, boxes: Tensor) -> Tensor:
    if not len(boxes):
        return boxes
    found = []
    for some in torch.split(boxes, _TOGETHER):
        square = _squared(some)
        scores, moves = networks.refine(_cuts(seen, square, 24))
        sure = scores >= THRESHOLDS[1]
        scored = torch.cat((square[:, :4], scores[:, None]), 1)[sure]
        found.append((scored, moves[sure]))
    scored, moves = (torch.cat(parts) for parts in zip(*found, strict=True))
    kept = _suppressed(scored, 0.7)
    return _moved(scored[kept], moves[kept], scored[kept])


def _decided(networks: FaceNetworks, seen: Tensor, boxes: Tensor) -> list[Face]:
    if not len(boxes):
        return []
    square = _squared(boxes)
    scores, moves, places = networks.decide(_cuts(seen, square, 48))
    sure = scores >= max(THRESHOLDS[2], SURE)
    square, scores, places = square[sure], scores[sure], places[sure]
    sides = (square[:, 2:4] - square[:, :2])[:, None]
    marks = square[:, None, :2] + places * sides
    scored = _moved(torch.cat((square[:, :4], scores[:, None]), 1), moves[sure], square)
    size = torch.tensor([seen.shape[3], seen.shape[2]])
    faces = []
    for n in _suppressed(scored, 0.7, of_smaller=True).tolist():
        left, top, right, bottom = (scored[n, :4] / size.repeat(2)).tolist()
        shares = tuple((x, y) for x, y in (marks[n] / size).tolist())
        faces.append(Face((left, top, right, bottom), shares, float(scored[n, 4])))
    return faces


def _moved(boxes: Tensor, moves: Tensor, sides_of: Tensor) -> Tensor:
    """Move each edge by its share of the sides of ``sides_of``."""
    sides = (sides_of[:, 2:4] - sides_of[:, :2]).repeat(1, 2)
    return torch.cat((boxes[:, :4] + moves * sides, boxes[:, 4:]), 1)


def _squared(boxes: Tensor) -> Tensor:
    """Return squares about the middles of boxes, as long as their longer sides."""
    middle, sides = (boxes[:, :2] + boxes[:, 2:4]) / 2, boxes[:, 2:4] - boxes[:, :2]
    half = sides.amax(1, keepdim=True) / 2
    return torch.cat((middle - half, middle + half, boxes[:, 4:]), 1)


def _cuts(seen: Tensor, boxes: Tensor, side: int) -> Tensor:
    """Return what is in boxes, (B, 3, side, side); black beyond the picture, as the networks learnt it."""
    height, width = seen.shape[2:]
    cuts = []
    for box in boxes[:, :4].round().long().tolist():
        left, top, right, bottom = box[0], box[1], max(box[2], box[0] + 1), max(box[3], box[1] + 1)
        inner = seen[..., max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
        rims = (max(-left, 0), max(right - width, 0), max(-top, 0), max(bottom - height, 0))
        cut = F.pad(inner, rims) if any(rims) else inner
        cuts.append(F.interpolate(cut, (side, side), mode="area"))
    return torch.cat(cuts)


def _suppressed(boxes: Tensor, most: float, *, of_smaller: bool = False) -> Tensor:
    """Return which of the rows (left, top, right, bottom, score) stay, the surest first.

    One that overlaps a surer one by more than ``most`` goes; the overlap is the intersection over the union,
    or ``of_smaller`` over the smaller of the two.
    """
    order = boxes[:, 4].argsort(descending=True, stable=True)
    area = (boxes[:, 2:4] - boxes[:, :2]).clamp_min(0).prod(1)
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        corner = torch.maximum(boxes[order, :2], boxes[best, :2])
        other = torch.minimum(boxes[order, 2:4], boxes[best, 2:4])
        shared = (other - corner).clamp_min(0).prod(1)
        of = torch.minimum(area[order], area[best]) if of_smaller else area[order] + area[best] - shared
        order = order[shared <= most * of.clamp_min(1e-9)]
    return torch.stack(kept) if kept else torch.zeros(0, dtype=torch.long)
