"""Where a face is, softly: what is changed there is blended into the photograph, and nothing else is.

The map is 1 over brows, eyes, nose, mouth and chin and falls to exactly 0 before the frame ends, so that the
photograph is untouched, to the pixel, beyond it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from katazome.faces.align import Frame, frame_of
from katazome.faces.detect import Face

MIDDLE, REACH = (0.5, 0.535), (0.37, 0.46)
"""Of the oval, as shares of the frame (x, y): from above the brows to the chin, cheek to cheek."""

SOFT = 0.2
"""The outer part of the oval, as a share of its reach, over which the map falls from 1 to 0."""

RIM = 0.08
"""The same of a square that holds no face, along those of its edges that lie inside the picture."""

_SIDE = 256


def face_map(faces: Sequence[Face], size: tuple[int, int]) -> Tensor:
    """Return the map (1, 1, H, W) in [0, 1] of faces in a picture (height, width)."""
    rest = torch.ones(1, 1, *size)
    for face in faces:
        frame = frame_of(face.marks(*size), _SIDE)
        rest = rest * (1 - frame.lifted(oval(_SIDE), size).clamp(0, 1))
    return 1 - rest


def oval(side: int) -> Tensor:
    """Return the map (1, 1, side, side) of a face in its frame, in [0, 1]."""
    places = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    x, y = (places - MIDDLE[0]) / REACH[0], (places - MIDDLE[1]) / REACH[1]
    away = (x.square()[None, :] + y.square()[:, None]).sqrt()
    return _eased((1 - away) / SOFT)[None, None].float()


def window(frame: Frame, size: tuple[int, int]) -> Tensor:
    """Return the map (1, 1, side, side) of a frame without a face in a picture (height, width)."""
    places = (torch.arange(frame.side, dtype=torch.float64) + 0.5) / frame.side
    rise, fall = _eased(places / RIM), _eased((1 - places) / RIM)
    left, top, right, bottom = (float(v) for v in _edges(frame))
    full = torch.ones_like(places)
    across = (rise if left > 0.5 else full) * (fall if right < size[1] - 0.5 else full)
    down = (rise if top > 0.5 else full) * (fall if bottom < size[0] - 0.5 else full)
    return (down[:, None] * across[None, :])[None, None].float()


def _edges(frame: Frame) -> Tensor:
    corners = torch.tensor([[0.0, 0, 1], [frame.side, frame.side, 1]], dtype=torch.float64) @ frame.matrix.T
    return corners.flatten()


def _eased(t: Tensor) -> Tensor:
    """Return t cut to [0, 1], with a soft beginning and end."""
    t = t.clamp(0, 1)
    return t * t * (3 - 2 * t)
