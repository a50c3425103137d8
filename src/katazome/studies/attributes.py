"""``study attributes``: is the face that was made to smile judged to smile, and what else became of it?

Source: the second source document and sheet 2. Faces of people who are in neither set, nor in what the judges
learnt from (:mod:`katazome.studies.faces`), are edited in many ways (:data:`ARMS`); each edit is one case, a
file. Measured are what the judge says before and after, the change (mean absolute, 0 to 255) at the mouth and
elsewhere in the frame, as the descent leaves it and after the blend, and the likeness to the person. The
baseline adds the plain difference of the sets' mean pictures: a judge believes it, the eye does not.
"""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from katazome.api import Session
from katazome.collections.cache import drained
from katazome.collections.choosing import Collection, Wish, collection
from katazome.descent.loop import descend
from katazome.directions import Asked, chosen_of, difference, mean_of
from katazome.errors import PictureError
from katazome.faces.align import Frame, frame_of
from katazome.faces.blend import oval
from katazome.faces.known import KnownFaces, known_faces
from katazome.jobs.manifest import Case, Figures, Manifest
from katazome.methods.attribute import Edit
from katazome.methods.attribute_options import AttributeOptions
from katazome.methods.base import Descent
from katazome.networks.classifier import Classifier
from katazome.networks.faces import FaceNetworks
from katazome.pictures.composite import composite
from katazome.pictures.read import Picture, read
from katazome.pictures.sheet import sheet
from katazome.pictures.write import write
from katazome.statistics.direction import Direction
from katazome.studies.faces import EMBEDDED, SEEN, Embedding, FaceJudge, embedding_of, judge_of
from katazome.studies.report import markdown, write_csv, write_page

MOUTH = (0.33, 0.63, 0.67, 0.80)
"""left, top, right, bottom of the mouth, as shares of the frame."""

JUDGED = ("Smiling", "Mouth_Slightly_Open", "Eyeglasses", "Mustache", "Young")

SCATTER = 0.06
"""How far (deviation, as a share of the side) pictures of ``scattered`` are moved off their places."""

FEWEST_SUBJECTS = 5

_DIRECTIONS_KEPT = 12

_SIDE = 144  # px at which changes are measured


@dataclass(frozen=True)
class Arm:
    """One way to edit. ``options`` are the method's; ``many`` says whether all faces are edited, or a few."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    many: bool = False
    wish: str = "Smiling"
    """What is asked for, a key of ``WISHES``."""
    pixels: float = 0.0
    """Add so many times the sets' mean pixel difference, instead of a descent."""
    scattered: bool = False
    """Pictures of the sets are moved off their places at random: no alignment at all."""


WISHES: Mapping[str, tuple[Wish, str, bool]] = {
    "Smiling": (Wish(add=("Smiling",)), "Smiling", True),
    "Smiling, mouth open": (Wish(add=("Smiling", "Mouth_Slightly_Open")), "Smiling", True),
    "Eyeglasses": (Wish(add=("Eyeglasses",)), "Eyeglasses", True),
    "Mustache": (Wish(add=("Mustache",), is_=("Male",)), "Mustache", True),
    "older": (Wish(remove=("Young",)), "Young", False),
}
"""What is asked for; what the judge is asked, and whether the answer is to be yes."""

ARMS = (
    *(Arm(f"layer {s}", {"strength": s}, many=True) for s in (0.4, 0.1)),
    *(Arm(f"layer {s}", {"strength": s}) for s in (0.2, 0.3, 0.5)),
    Arm("pixels x1", pixels=1.0, many=True),
    Arm("pixels x2", pixels=2.0, many=True),
    Arm("Eyeglasses, layer 0.5", {"strength": 0.5}, wish="Eyeglasses"),
    Arm("Mustache, layer 0.5", {"strength": 0.5}, wish="Mustache"),
    Arm("older, layer 0.5", {"strength": 0.5}, wish="older"),
    Arm("mouth open, layer 0.4", wish="Smiling, mouth open"),
    Arm("beta 0.4", {"convention": "beta"}),
    Arm("plain 2.5", {"convention": "plain"}),
    Arm("unit 0.4", {"convention": "unit"}),
    Arm("by attributes", {"by": "attributes"}),
    Arm("at random", {"by": "random"}),
    Arm("no alignment", {"align": False}),
    Arm("scattered", scattered=True),
    Arm("scattered pixels x2", scattered=True, pixels=2.0),
    Arm("from noise", {"init": "random"}),
    Arm("from noise, colour", {"init": "random", "color_match": "channels"}),
    Arm("from noise, colour, residual", {"init": "random", "color_match": "channels", "residual": True}),
    Arm("smoothness 1", {"smoothness": 1.0}),
    Arm("result carried", {"carry": "result"}),
    Arm("plain L-BFGS", {"precondition": False}),
)


@dataclass(frozen=True)
class AttributeStudy:
    """The study's inputs."""

    session: Session
    networks: FaceNetworks
    classifier: Classifier
    """What the embedding is made with."""
    faces: Path
    folder: Path
    table: Path | None = None
    many: int = 50
    """How many faces are edited in the arms of many."""
    few: int = 5
    """How many in the others."""
    size: int = 96
    iterations: int = 100
    judge_steps: int = 1500
    part: tuple[int, int] = (1, 1)
    say: Callable[[str], None] = field(default=lambda _: None)
    _made: dict[tuple[Any, ...], Direction] = field(default_factory=dict, repr=False)
    """Directions of the face at hand: several arms go along one."""

    @cached_property
    def pictures(self) -> Collection:
        """The collection."""
        return collection(self.faces, self.table)

    @cached_property
    def known(self) -> KnownFaces:
        """What is known of its faces."""
        self.say(f"{len(self.pictures.sources)} faces are looked at")
        return drained(known_faces(self.session.encoder, self.networks, self.pictures.sources))

    @cached_property
    def groups(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Pictures to learn from, to ask about, and to edit: by people, so that nobody is in two."""
        draws = np.array([_draw(person) for person in self.pictures.people])
        there = self.known.there
        bounds = ((0.0, 0.7), (0.7, 0.85), (0.85, 1.0))
        learn, ask, edit = (np.flatnonzero(there & (draws >= a) & (draws < b)) for a, b in bounds)
        return learn, ask, edit

    @cached_property
    def judge(self) -> FaceJudge:
        """The judge of attributes."""
        learn, ask, _ = self.groups
        file = self.folder / "judge.safetensors"
        return judge_of(self.pictures, self.known, JUDGED, learn, ask, file, self.judge_steps, self.say)

    @cached_property
    def embedding(self) -> Embedding:
        """The judge of likeness."""
        learn, ask, _ = self.groups
        file = self.folder / "embedding.safetensors"
        return embedding_of(self.classifier, self.pictures, self.known, learn, ask, file, self.say)

    def subjects(self, arm: Arm) -> list[int]:
        """Return the faces of an arm: of people apart, one each, who surely lack what is asked for."""
        wish = WISHES[arm.wish][0]
        _, lacking = wish.sides(self.pictures)
        found: dict[str, int] = {}
        for n in self.groups[2].tolist():
            if lacking[n]:
                found.setdefault(self.pictures.people[n], n)
        order = sorted(found.values(), key=lambda n: _draw(f"{self.pictures.people[n]} drawn"))
        return order[: self.many if arm.many else self.few]

    @cached_property
    def manifest(self) -> Manifest:
        """All cases: every arm with each of its faces."""
        subjects = {arm.name: self.subjects(arm) for arm in ARMS}
        pairs = [(arm, place) for arm in ARMS for place in range(len(subjects[arm.name]))]
        # Arms of many faces and of few come forward alike, face by face: a table of a part says something of
        # all, and arms that go along the same direction follow one another.
        pairs.sort(key=lambda pair: (pair[1] // (self.many // self.few or 1 if pair[0].many else 1), pair[1]))
        cases = []
        for arm, place in pairs:
            number = subjects[arm.name][place]
            values = {
                "arm": arm.name,
                "wish": arm.wish,
                "face": hashlib.sha256(self.pictures.sources[number].name.encode()).hexdigest()[:12],
                "number": place,
                "options": dict(arm.options),
                "size": self.size,
                "iterations": self.iterations,
            }
            name = "".join(c if c.isalnum() or c in ".-" else "_" for c in arm.name)
            cases.append(Case(f"{name}-{place:02d}", values))
        return Manifest(self.folder / "cases", cases)

    def run(self) -> str:
        """Measure what is missing of this part; return the report (Markdown) of all there is."""
        (self.folder / "pictures").mkdir(parents=True, exist_ok=True)
        if len(self.groups[2]) < FEWEST_SUBJECTS:
            raise PictureError(
                f"of {len(self.pictures.sources)} pictures only {len(self.groups[2])} are left to be edited; "
                f"at least {FEWEST_SUBJECTS} are needed, give a larger collection"
            )
        self.manifest.part(*self.part).run(self._measure, self.say)
        rows = self.manifest.results()
        write_csv(self.folder / "cases.csv", rows)
        table = summary(rows, self.embedding.threshold)
        told = ", ".join(
            f"{name} {share:.1%}" for name, share in zip(JUDGED, self.judge.accuracy, strict=True)
        )
        head = (
            f"{len(rows)} of {len(self.manifest.cases)} cases. The judge tells of people it has not seen "
            f"(balanced): {told}. The embedding: area under the curve {self.embedding.auc:.3f}, equal error "
            f"{self.embedding.error:.1%}, at a likeness of {self.embedding.threshold:.2f}."
        )
        report = "\n".join(["# Study: attributes", "", head, "", markdown(table)])
        (self.folder / "report.md").write_text(report, encoding="utf-8")
        pictures = sorted((self.folder / "pictures").glob("*.png"))
        write_page(self.folder / "report.html", "Study: attributes", head, {"By arm": table}, pictures)
        return report

    def _measure(self, case: Case) -> Figures:
        arm = next(a for a in ARMS if a.name == case.values["arm"])
        number = self.subjects(arm)[int(case.values["number"])]
        wish, asked_for, yes = WISHES[arm.wish]
        options = AttributeOptions.from_json(
            {
                "add": wish.add,
                "remove": wish.remove,
                "is_": wish.is_,
                "is_not": wish.is_not,
                "size": self.size,
                "iterations": self.iterations,
                "by": "features",
                **arm.options,
            }
        )
        picture = read(self.pictures.sources[number].path)
        began = time.perf_counter()
        asked = Asked.of(picture, options, self.session.encoder, self.networks if options.align else None)
        direction = self._direction(arm, asked, number, options)
        ready = time.perf_counter()
        bare, final = self._edited(arm, picture, direction, options)
        done = time.perf_counter()
        marks = self.known.marks[number] * torch.tensor([picture.width, picture.height])
        before, raw, after = (frame_of(marks, _SIDE).cut(p) for p in (picture.pixels, bare, final))
        told = [
            self.judge.tells(frame_of(marks, SEEN).cut(p))[asked_for] for p in (picture.pixels, bare, final)
        ]
        likeness = self.embedding.likeness(
            *(frame_of(marks, EMBEDDED).cut(p) for p in (picture.pixels, final))
        )
        figures: Figures = {
            "told before": told[0] if yes else 1 - told[0],
            "told": told[1] if yes else 1 - told[1],
            "told, blended": told[2] if yes else 1 - told[2],
            "likeness": likeness,
            "seconds, sets": round(ready - began, 2),
            "seconds, edit": round(done - ready, 2),
            "target": direction.facts["target"],
            "source": direction.facts["source"],
        }
        figures["frame"] = frame_share(marks, (picture.height, picture.width))
        for name, made in (("", raw), (", blended", after)):
            mouth, elsewhere = change(before, made)
            figures |= {f"mouth{name}": mouth, f"elsewhere{name}": elsewhere}
        cells = [(f"{case.name}", before), ("edited", raw), ("blended", after)]
        write(sheet([cells], cell=_SIDE * 2), self.folder / "pictures" / f"{case.name}.png", overwrite=True)
        return figures

    def _direction(self, arm: Arm, asked: Asked, number: int, options: AttributeOptions) -> Direction:
        unit = options.convention == "unit"
        key = (arm.wish, arm.scattered, number, options.by, options.align, unit, options.size)
        if key not in self._made:
            if len(self._made) >= _DIRECTIONS_KEPT:
                self._made.clear()
            self._made[key] = self._new_direction(arm, asked, number, options)
        return self._made[key]

    def _new_direction(self, arm: Arm, asked: Asked, number: int, options: AttributeOptions) -> Direction:
        encoder, wish = self.session.encoder, WISHES[arm.wish][0]
        # Nobody of the people who are edited is in a set.
        free = self.known.there.copy()
        free[self.groups[2]] = False
        known = replace(self.known, there=free, aligned=options.align)
        if arm.scattered:
            draw = np.random.default_rng(number).normal(0, SCATTER, (len(free), 1, 2))
            known = replace(known, marks=known.marks + torch.from_numpy(draw))
        if not options.align:
            asked = replace(asked, features=self._aligned_features(number))
        path = self.pictures.sources[number].path
        chosen = chosen_of(self.pictures, wish, known, asked, path, options)
        means = [
            drained(mean_of(encoder, part, known, asked, options)) for part in (chosen.target, chosen.source)
        ]
        return difference(encoder, means, chosen, asked, options)

    def _aligned_features(self, number: int) -> Tensor:
        """Return the features by which a face's neighbours are found, whether it is aligned or not."""
        features = self.known.features
        place = features.sources.index(self.pictures.sources[number])
        return features.rows([place])[0, -self._length :]

    @property
    def _length(self) -> int:
        return self.known.features.shape[0] - 11

    def _edited(
        self, arm: Arm, picture: Picture, direction: Direction, options: AttributeOptions
    ) -> tuple[Tensor, Tensor]:
        """Return the whole picture with the change as the descent leaves it, and as it is blended in."""
        work = self.session.prepare(picture, (), method="attribute", direction=direction, **options.to_json())
        frame = Frame(direction.matrix, direction.side)
        size = (picture.height, picture.width)
        square = frame.cut(picture.pixels)
        if arm.pixels:
            bare = picture.pixels + frame.lifted(arm.pixels * direction.pixels, size)
            soft = frame.lifted(oval(direction.side), size).clamp(0, 1)
            bare = bare.clamp(0, 1)
            return bare, composite(bare, picture.pixels, soft)
        task = work.task
        assert isinstance(task, Descent)
        *_, last = descend(task.problem, task.walk, task.optimiser)
        made = last.picture
        assert isinstance(task.problem, Edit)
        repaired = task.problem.repaired(made).cpu()
        bare = (picture.pixels + frame.lifted(repaired - square, size)).clamp(0, 1)
        return bare, task.finish(made)[:, :3].cpu()


def change(before: Tensor, after: Tensor) -> tuple[float, float]:
    """Return the mean absolute change (0 to 255) at the mouth, and elsewhere, of faces in their frames."""
    moved = (after - before).abs().mean(1)[0] * 255
    side = moved.shape[0]
    left, top, right, bottom = (round(share * side) for share in MOUTH)
    inside = torch.zeros_like(moved, dtype=torch.bool)
    inside[top:bottom, left:right] = True
    return float(moved[inside].mean()), float(moved[~inside].mean())


def frame_share(marks: Tensor, size: tuple[int, int]) -> float:
    """Return the frame's area over the picture's (height, width)."""
    frame = frame_of(marks, _SIDE)
    return float(torch.linalg.det(frame.matrix[:, :2])) * _SIDE**2 / (size[0] * size[1])


def summary(rows: Sequence[Figures], threshold: float) -> list[Figures]:
    """Return a line for each arm: shares in per cent, the others means over its faces.

    ``elsewhere`` and ``ratio`` are of the frame; ``ratio, picture`` takes the change outside the mouth over
    the whole picture, of which nothing beyond the frame changes.
    """
    groups: dict[str, list[Figures]] = {}
    for row in rows:
        groups.setdefault(row["arm"], []).append(row)
    found = []
    for name, group in groups.items():

        def mean(key: str, group: Sequence[Figures] = group) -> float:
            return statistics.mean(float(row[key]) for row in group)

        def share(key: str, least: float, group: Sequence[Figures] = group) -> int:
            return round(100 * statistics.mean(float(row[key] > least) for row in group))

        found.append(
            {
                "arm": name,
                "faces": len(group),
                "told before %": share("told before", 0.5),
                "told %": share("told", 0.5),
                "blended %": share("told, blended", 0.5),
                "mouth": round(mean("mouth"), 1),
                "elsewhere": round(mean("elsewhere"), 1),
                "ratio": round(mean("mouth") / mean("elsewhere"), 1),
                "ratio, blended": round(mean("mouth, blended") / mean("elsewhere, blended"), 1),
                "ratio, picture": round(_over_picture(group, ""), 1),
                "ratio, picture, blended": round(_over_picture(group, ", blended"), 1),
                "same person %": share("likeness", threshold),
                "likeness": round(mean("likeness"), 2),
                "seconds": round(mean("seconds, sets") + mean("seconds, edit")),
            }
        )
    return found


def _over_picture(group: Sequence[Figures], which: str) -> float:
    """Return the mean change at the mouth over that in all of the picture but the mouth."""
    left, top, right, bottom = MOUTH
    small = (right - left) * (bottom - top)
    elsewhere = [
        float(row[f"elsewhere{which}"]) * (1 - small) * row["frame"] / (1 - small * row["frame"])
        for row in group
    ]
    mouth = [float(row[f"mouth{which}"]) for row in group]
    return statistics.mean(mouth) / statistics.mean(elsewhere)


def _draw(text: str) -> float:
    """Return a number in [0, 1) that depends on a text alone."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:12], 16) / 16**12
