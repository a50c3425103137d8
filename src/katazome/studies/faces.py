"""Who judges edited faces: a small network on pixels tells attributes, an embedding tells people.

Neither sees VGG features. The judge is a few convolutions learnt from the pixels of aligned faces and the
sure rows of a table. The embedding is linear discriminant analysis [Belhumeur et al., "Eigenfaces vs.
Fisherfaces", PAMI 1997] on what an ImageNet classifier (EfficientNet-lite0) sees in aligned faces, learnt
from people of whom there are several pictures. How well both do on people they have not seen is part of what
the study says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from katazome.collections.choosing import Collection
from katazome.collections.folders import load
from katazome.errors import PictureError
from katazome.faces.align import frame_of
from katazome.faces.known import SIDE, KnownFaces
from katazome.networks.classifier import Classifier
from katazome.training.trainer import TrainingOptions, train
from katazome.weights.tensorfile import Damaged, read_tensors, write_tensors

SEEN = 48
"""Side (px) of the faces that the judge sees."""

EMBEDDED = 112
"""Side (px) of those that the embedding is made of."""

DIMENSIONS = 64
_PRINCIPAL = 256
_BLOCK = 11  # of the classifier: the last at a stride of 16 px
_SHIFT = 3


def aligned(pictures: Collection, known: KnownFaces, numbers: Sequence[int], side: int) -> Iterator[Tensor]:
    """Yield the faces (1, 3, side, side) of a collection in their frames.

    Raises :class:`PictureError` when a picture cannot be read any more.
    """
    for loaded in load(((n, pictures.sources[n]) for n in numbers), SIDE, {}, workers=1, ahead=16):
        if loaded.pixels is None:
            raise PictureError(f"a picture of the collection cannot be read any more: {loaded.reason}")
        yield frame_of(known.marks[loaded.index] * SIDE, side).cut(loaded.pixels)


class JudgeNet(nn.Module):
    """Scores (B, K) of attributes from faces (B, 3, SEEN, SEEN), sRGB in [0, 1]."""

    def __init__(self, attributes: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 24, 3, padding=1), nn.Conv2d(24, 48, 3, padding=1)
        self.third = nn.Conv2d(48, 96, 3, padding=1)
        self.inner, self.outer = nn.Linear(96 * 36, 96), nn.Linear(96, attributes)

    def forward(self, faces: Tensor) -> Tensor:
        """See :class:`JudgeNet`."""
        x = (faces - faces.mean((1, 2, 3), keepdim=True)) / faces.std((1, 2, 3), keepdim=True).clamp_min(0.02)
        for convolution in (self.first, self.second, self.third):
            x = F.max_pool2d(convolution(x).relu(), 2)
        scores: Tensor = self.outer(F.dropout(self.inner(x.flatten(1)).relu(), 0.3, self.training))
        return scores


@dataclass
class _Lesson:
    """Faces (N, 3, SEEN, SEEN) as bytes, and labels (N, K): 1, 0, or NaN where the table is not sure."""

    module: JudgeNet
    faces: Tensor
    labels: Tensor
    batch: int

    def terms(self, step: int, draw: torch.Generator) -> dict[str, Tensor]:  # noqa: ARG002
        """See :class:`katazome.training.trainer.Lesson`."""
        chosen = torch.randint(len(self.faces), (self.batch,), generator=draw)
        faces, labels = self.faces[chosen].float() / 255, self.labels[chosen]
        mirrored = torch.rand(self.batch, 1, 1, 1, generator=draw) < 0.5
        faces = torch.where(mirrored, faces.flip(3), faces)
        rows, columns = (int(torch.randint(2 * _SHIFT + 1, (), generator=draw)) for _ in range(2))
        padded = F.pad(faces, (_SHIFT,) * 4, mode="replicate")
        faces = padded[..., rows : rows + SEEN, columns : columns + SEEN]
        sure = ~labels.isnan()
        scores = self.module(faces)
        loss = F.binary_cross_entropy_with_logits(scores, labels.nan_to_num(), reduction="none")
        # Rare attributes count as much as frequent ones: each side has half the say.
        ones, zeros = ((sure & (labels == v)).float() for v in (1, 0))
        weights = ones / ones.sum(0).clamp_min(1) + zeros / zeros.sum(0).clamp_min(1)
        return {"labels": (loss * weights).sum() / labels.shape[1]}


@dataclass(frozen=True)
class FaceJudge:
    """Tells attributes; ``accuracy`` is the share told right of people that were not learnt from.

    Balanced: the mean over those that have it and those that lack it.
    """

    net: JudgeNet
    attributes: tuple[str, ...]
    accuracy: tuple[float, ...]

    def tells(self, face: Tensor) -> dict[str, float]:
        """Return the probability of each attribute of a face (1, 3, SEEN, SEEN)."""
        with torch.no_grad():
            found = self.net(face).sigmoid()[0].tolist()
        return dict(zip(self.attributes, found, strict=True))


def judge_of(
    pictures: Collection,
    known: KnownFaces,
    attributes: Sequence[str],
    learnt: NDArray[np.int64],
    asked: NDArray[np.int64],
    file: Path,
    steps: int,
    say: Callable[[str], None],
) -> FaceJudge:
    """Read a judge from its file, or teach it: learnt from some pictures, asked about others."""
    header = {
        "attributes": list(attributes),
        "learnt": len(learnt),
        "steps": steps,
        "table": pictures.table.name,
    }
    net = JudgeNet(len(attributes))
    try:
        tensors, kept = read_tensors(file)
        if {k: kept.get(k) for k in header} == header:
            net.load_state_dict(tensors)
            return FaceJudge(net.eval(), tuple(attributes), tuple(kept["accuracy"]))
    except Damaged:
        pass  # there is none yet, or a kill left half of one: it is taught again
    say(f"the judge looks at {len(learnt) + len(asked)} faces")
    both = np.concatenate((learnt, asked))
    faces = torch.cat([(f * 255).round().byte() for f in aligned(pictures, known, both.tolist(), SEEN)])
    labels = labels_of(pictures, attributes)[torch.from_numpy(both)]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = JudgeNet(len(attributes))
        lesson = _Lesson(net, faces[: len(learnt)], labels[: len(learnt)], 96)
        for step in train(lesson, TrainingOptions(steps=steps, batch=96, weight_decay=0.01)):
            if step.index % 200 == 0:
                say(f"the judge has learnt {step.index} of {steps} steps, loss {step.terms['labels']:.3f}")
    net.eval()
    accuracy = _balanced(net, faces[len(learnt) :], labels[len(learnt) :])
    write_tensors(file, net.state_dict(), {**header, "accuracy": accuracy}, what="the judge")
    return FaceJudge(net, tuple(attributes), tuple(accuracy))


def labels_of(pictures: Collection, attributes: Sequence[str]) -> Tensor:
    """Return (N, K): 1 where a picture surely has an attribute, 0 where it surely lacks it, NaN else."""
    columns = []
    for name in attributes:
        there, absent = (torch.from_numpy(side) for side in pictures.has(name))
        columns.append(torch.full((len(there),), torch.nan).masked_fill(absent, 0).masked_fill(there, 1))
    return torch.stack(columns, 1)


def _balanced(net: JudgeNet, faces: Tensor, labels: Tensor) -> list[float]:
    with torch.no_grad():
        told = torch.cat([net(part.float() / 255) > 0 for part in torch.split(faces, 256)]).float()
    right = []
    for n in range(labels.shape[1]):
        shares = [float((told[labels[:, n] == v, n] == v).float().mean()) for v in (0, 1)]
        right.append(round(sum(shares) / 2, 4))
    return right


@dataclass(frozen=True)
class Embedding:
    """Tells people: faces (1, 3, EMBEDDED, EMBEDDED) to unit vectors, whose product is their likeness.

    ``auc`` is the chance that two pictures of one person are more alike than two of different ones, among
    people not learnt from; at ``threshold`` both mistakes are as frequent (``error``).
    """

    classifier: Classifier
    mean: Tensor
    matrix: Tensor
    auc: float
    threshold: float
    error: float

    def of(self, face: Tensor) -> Tensor:
        """Return the vector (DIMENSIONS,)."""
        found = (_seen(self.classifier, face) - self.mean) @ self.matrix
        return F.normalize(found[0], dim=0)

    def likeness(self, one: Tensor, other: Tensor) -> float:
        """Return the cosine of two faces' vectors."""
        return float(self.of(one) @ self.of(other))


def _seen(classifier: Classifier, face: Tensor) -> Tensor:
    with torch.no_grad():
        _, (found,) = classifier(face, [_BLOCK])
    return F.avg_pool2d(found, 2, ceil_mode=True).flatten(1)


def embedding_of(
    classifier: Classifier,
    pictures: Collection,
    known: KnownFaces,
    learnt: NDArray[np.int64],
    asked: NDArray[np.int64],
    file: Path,
    say: Callable[[str], None],
) -> Embedding:
    """Read an embedding from its file, or make it from people of whom ``learnt`` has several pictures."""
    numbers = [_several(pictures, some, 4) for some in (learnt, asked)]
    header = {"learnt": len(numbers[0]), "asked": len(numbers[1])}
    try:
        tensors, kept = read_tensors(file)
        if {k: kept.get(k) for k in header} == header:
            figures = (float(kept[k]) for k in ("auc", "threshold", "error"))
            return Embedding(classifier, tensors["mean"], tensors["matrix"], *figures)
    except Damaged:
        pass
    say(f"the embedding looks at {len(numbers[0]) + len(numbers[1])} faces")
    rows = [
        torch.cat([_seen(classifier, face) for face in aligned(pictures, known, some, EMBEDDED)])
        for some in numbers
    ]
    people = [[pictures.people[n] for n in some] for some in numbers]
    mean, matrix = discriminant(rows[0], people[0])
    vectors = F.normalize((rows[1] - mean) @ matrix, dim=1)
    auc, threshold, error = verified(vectors, people[1])
    figures_ = {"auc": auc, "threshold": threshold, "error": error}
    write_tensors(file, {"mean": mean, "matrix": matrix}, {**header, **figures_}, what="the embedding")
    return Embedding(classifier, mean, matrix, auc, threshold, error)


def _several(pictures: Collection, numbers: NDArray[np.int64], most: int) -> list[int]:
    """Return up to ``most`` pictures of each person who has at least two."""
    of: dict[str, list[int]] = {}
    for n in numbers.tolist():
        of.setdefault(pictures.people[n], []).append(n)
    return [n for some in of.values() if len(some) > 1 for n in some[:most]]


def discriminant(rows: Tensor, people: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return the mean (D,) and the matrix (D, DIMENSIONS) of Fisher's discriminants, after principal ones."""
    mean = rows.mean(0)
    centred = (rows - mean).double()
    _, _, basis = torch.svd_lowrank(centred, min(_PRINCIPAL, *centred.shape), niter=3)
    low = centred @ basis
    number = {person: n for n, person in enumerate(dict.fromkeys(people))}
    labels = torch.tensor([number[person] for person in people])
    sums = torch.zeros(len(number), low.shape[1], dtype=low.dtype).index_add_(0, labels, low)
    own = low - (sums / labels.bincount()[:, None])[labels]
    within = own.T @ own / len(low)
    within += 0.05 * within.diagonal().mean() * torch.eye(len(within), dtype=within.dtype)
    values, vectors = torch.linalg.eigh(within)
    white = basis @ (vectors * values.rsqrt())
    means = (sums / labels.bincount()[:, None]) @ (vectors * values.rsqrt())
    _, _, between = torch.linalg.svd(means - means.mean(0), full_matrices=False)
    return mean, (white @ between[:DIMENSIONS].T).float()


def verified(vectors: Tensor, people: Sequence[str]) -> tuple[float, float, float]:
    """Return the area under the curve, the threshold of equal errors, and the error there."""
    likeness = vectors @ vectors.T
    same = torch.tensor([[a == b for b in people] for a in people])
    above = torch.ones_like(same).triu(1)
    own, other = likeness[same & above].sort().values, likeness[~same & above].sort().values
    below = torch.searchsorted(other, own).double()
    auc = float(below.mean() / len(other))
    missed = (torch.arange(len(own)) + 0.5) / len(own)
    taken = 1 - below / len(other)
    place = int((missed - taken).abs().argmin())
    return round(auc, 4), float(own[place]), round(float((missed[place] + taken[place]) / 2), 4)
