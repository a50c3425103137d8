"""One frame for all faces: squares of a picture in which eyes and mouths have their places.

A :class:`Frame` is where in a picture such a square lies, turned as the face is. What a network is to compare
is cut out by it (:func:`cut`); what was changed there is carried back by it (:meth:`Frame.lifted`). Source of
the idea: sheet 2, "alignment matters more than K"; the template's proportions are means over faces of LFW.
Departure from Upchurch et al., who fit scale, turn and shift to 68 landmarks: five
landmarks, of which a similarity makes the frame, and an affine map brings one face onto another.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from katazome.pictures.resize import resize

TEMPLATE = ((0.36, 0.40), (0.64, 0.40), (0.50, 0.565), (0.38, 0.71), (0.62, 0.71))
"""Where (x, y) eyes, nose and the mouth's corners are in the frame; forehead, chin and ears are in it."""


@dataclass(frozen=True)
class Frame:
    """A square of ``side`` px, and where in a picture it lies.

    ``matrix`` (2, 3) float64 takes a place (x, y, 1) in the square to (x, y) in the picture, both in px with
    pixels' edges at whole numbers.
    """

    matrix: Tensor
    side: int

    def cut(self, pixels: Tensor) -> Tensor:
        """Return what is in the square, (1, C, side, side); beyond the picture its edge goes on."""
        return cut(pixels, self.matrix, self.side)

    def lifted(self, square: Tensor, size: tuple[int, int]) -> Tensor:
        """Carry (1, C, side, side) to its place in a picture (height, width): (1, C, H, W).

        Zeros beyond the square's upright box; between the two the square's edge goes on.
        """
        height, width = size
        left, top, right, bottom = self.bounds(size)
        inverse = inverted(self.matrix)
        inverse[:, 2] += inverse[:, :2] @ torch.tensor([left, top], dtype=torch.float64)
        part = sampled(square, inverse, (bottom - top, right - left), "bicubic")
        return F.pad(part, (left, width - right, top, height - bottom))

    def bounds(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Return the upright box (left, top, right, bottom) about the square, within a picture."""
        height, width = size
        corners = torch.tensor([[0, 0, 1], [1, 0, 1], [0, 1, 1], [1, 1, 1]], dtype=torch.float64)
        corners[:, :2] *= self.side
        places = corners @ self.matrix.T
        low, high = places.amin(0).floor().long().tolist(), places.amax(0).ceil().long().tolist()
        left, top = min(max(low[0], 0), width - 1), min(max(low[1], 0), height - 1)
        return left, top, max(min(high[0], width), left + 1), max(min(high[1], height), top + 1)


def frame_of(marks: Tensor, side: int) -> Frame:
    """Return the frame of a face by its landmarks (5, 2) in px: the similarity that fits them best.

    Source: S. Umeyama, "Least-squares estimation of transformation parameters between two point patterns",
    PAMI 1991, in two dimensions, where it is one division of complex numbers.
    """
    own = torch.tensor(TEMPLATE, dtype=torch.float64) * side
    middle, centre = own.mean(0), marks.double().mean(0)
    a, b = torch.view_as_complex(own - middle), torch.view_as_complex((marks.double() - centre).contiguous())
    turn = (a.conj() * b).sum() / a.abs().square().sum()
    linear = torch.tensor([[turn.real, -turn.imag], [turn.imag, turn.real]], dtype=torch.float64)
    return Frame(torch.cat((linear, (centre - linear @ middle)[:, None]), 1), side)


def square_in(size: tuple[int, int], side: int) -> Frame:
    """Return the frame of things that are not faces: the middle square of a picture (height, width)."""
    height, width = size
    edge = min(height, width)
    factor = edge / side
    matrix = [[factor, 0.0, (width - edge) / 2], [0.0, factor, (height - edge) / 2]]
    return Frame(torch.tensor(matrix, dtype=torch.float64), side)


def fitted(marks: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Fit affine maps that take ``marks`` (5, 2) to each of ``others`` (N, 5, 2).

    Returns matrices (N, 2, 3) float64, and how badly each fits (N,): the root mean square of what is left, as
    a share of the distance of the eyes. Faces turned alike fit well: a head's turn moves the nose against
    eyes and mouth, which no affine map does.
    """
    own = torch.cat((marks.double(), torch.ones(len(marks), 1, dtype=torch.float64)), 1)
    others = others.double()
    found = (torch.linalg.pinv(own) @ others).transpose(1, 2)
    left = own @ found.transpose(1, 2) - others
    eyes = (others[:, 1] - others[:, 0]).norm(dim=1).clamp_min(1e-9)
    return found, left.square().sum(2).mean(1).sqrt() / eyes


def cut(pixels: Tensor, matrix: Tensor, side: int) -> Tensor:
    """Return the square (1, C, side, side) whose places ``matrix`` (2, 3) takes to those of a picture."""
    scale = float(torch.linalg.det(matrix[:, :2]).abs().sqrt())
    if scale > 1:  # reduced first, or fine detail would be picked out at random
        height, width = pixels.shape[2:]
        size = (max(1, round(height / scale)), max(1, round(width / scale)))
        shrunk = torch.tensor([[size[1] / width], [size[0] / height]], dtype=torch.float64)
        pixels, matrix = resize(pixels, size), matrix * shrunk
    return sampled(pixels, matrix, (side, side), "bilinear")


def sampled(x: Tensor, matrix: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """Sample (1, C, H, W) at the places that ``matrix`` (2, 3) takes each pixel of ``size`` to.

    Beyond the edge the edge goes on; ``mode`` is bilinear or bicubic.
    """
    rows, columns = (torch.arange(n, dtype=torch.float64) + 0.5 for n in size)
    y, x_ = torch.meshgrid(rows, columns, indexing="ij")
    places = torch.stack((x_, y, torch.ones_like(y)), 2) @ matrix.T
    shares = places / torch.tensor([x.shape[3], x.shape[2]], dtype=torch.float64) * 2 - 1
    grid = shares[None].to(x)
    return F.grid_sample(x, grid, mode=mode, padding_mode="border", align_corners=False)


def inverted(matrix: Tensor) -> Tensor:
    """Return the map (2, 3) back."""
    inverse = torch.linalg.inv(matrix[:, :2])
    return torch.cat((inverse, -inverse @ matrix[:, 2:]), 1)
