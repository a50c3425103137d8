"""A judge of materials on another network than the segmenter's, taught with other pictures.

What an ImageNet classifier (EfficientNet-lite0) thinks of a picture, its 1,000 scores, read by ridge
regression in closed form.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from katazome.collections.folders import Source, load_square
from katazome.errors import PictureError
from katazome.networks.classifier import SIDE, Classifier
from katazome.pictures.composite import composite
from katazome.pictures.resize import resize

KEPT_BACK = 4
"""Every fourth picture of a class is not learnt from, but asked about."""


@dataclass(frozen=True)
class Judge:
    """Tells materials: ``weight`` is (1001, K), ``accuracy`` the share of pictures kept back that it told."""

    classifier: Classifier
    classes: tuple[str, ...]
    weight: Tensor
    accuracy: float

    @staticmethod
    def taught(classifier: Classifier, classes: Mapping[str, Sequence[Source]], ridge: float = 30.0) -> Judge:
        """Learn from pictures by class."""
        names = tuple(classes)
        learnt: list[tuple[Tensor, int]] = []
        asked: list[tuple[Tensor, int]] = []
        for number, name in enumerate(names):
            for place, source in enumerate(classes[name]):
                try:
                    row = _thought(classifier, load_square(source, SIDE))
                except PictureError:
                    continue  # one of many; the features' cache has named it
                (learnt if place % KEPT_BACK else asked).append((row, number))
        if not learnt:
            raise PictureError("the judge has no picture to learn from; give more looks of each material")
        x = torch.cat([row for row, _ in learnt]).double()
        y = torch.eye(len(names), dtype=torch.float64)[[number for _, number in learnt]] - 1 / len(names)
        weight = torch.linalg.solve(x.T @ x + ridge * torch.eye(x.shape[1], dtype=x.dtype), x.T @ y).float()
        right = sum(int((row @ weight).argmax()) == number for row, number in asked)
        return Judge(classifier, names, weight, right / max(1, len(asked)))

    @property
    def sha256(self) -> str:
        """A hash of what was learnt."""
        return hashlib.sha256(self.weight.numpy().tobytes()).hexdigest()

    def tells(self, picture: Tensor, mask: Tensor) -> str:
        """Return the material of what a mask (1, 1, H, W) shows of a picture (1, 3, H, W), the rest grey."""
        inside = mask[0, 0] > 0.5
        rows, columns = torch.nonzero(inside.any(1))[:, 0], torch.nonzero(inside.any(0))[:, 0]
        plain = composite(picture, torch.full_like(picture, 0.5), mask)
        cut = plain[..., int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1]
        return self.classes[
            int((_thought(self.classifier, resize(cut, (SIDE, SIDE))) @ self.weight).argmax())
        ]


def _thought(classifier: Classifier, picture: Tensor) -> Tensor:
    """Return the classifier's scores, brought to mean 0 and deviation 1, and a one: (1, 1001)."""
    with torch.no_grad():
        scores = classifier(picture)[0].mean((2, 3))
    scaled = (scores - scores.mean()) / scores.std()
    return torch.cat([scaled, torch.ones(1, 1)], 1)
