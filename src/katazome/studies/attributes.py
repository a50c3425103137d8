"""``study attributes``: is the face that was made to smile judged to smile, and what else became of it?

Source: the second source document and sheet 2. Faces of people who are in neither set, nor in what the judges
learnt from (:mod:`katazome.studies.faces`), are edited in many ways (:data:`ARMS`); each edit is one case, a
file. Measured are what the judge says before and after, the change (mean absolute, 0 to 255) at the mouth and
elsewhere in the frame, as the descent leaves it and after the blend, and the likeness to the person. The
baseline adds the plain difference of the sets' mean pictures: a judge believes it, the eye does not.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor

from katazome.api import Session
from katazome.collections.cache import drained
from katazome.collections.choosing import Collection, collection
from katazome.descent.loop import descend
from katazome.directions import Asked, chosen_of, difference, mean_of
from katazome.errors import PictureError
from katazome.faces.align import Frame, frame_of
from katazome.faces.blend import oval
from katazome.faces.detect import find_faces
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
from katazome.studies.attribute_arms import ARMS, WISHES, Arm, asked_for
from katazome.studies.attribute_table import MEASURED, change, frame_share, summary
from katazome.studies.faces import EMBEDDED, SEEN, Embedding, FaceJudge, embedding_of, judge_of
from katazome.studies.report import markdown, write_csv, write_page

JUDGED = ("Smiling", "Mouth_Slightly_Open", "Eyeglasses", "Mustache", "Young")

SCATTER = 0.06
"""How far (deviation, as a share of the side) pictures of ``scattered`` are moved off their places."""

FEWEST_SUBJECTS = 5

_DIRECTIONS_KEPT = 12


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
    arms: tuple[str, ...] = ()
    """Names of the arms that are measured; none named = all."""
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
        with FileLock(self.folder / ".judge.lock"):  # taught by one process alone, where there are several
            return judge_of(self.pictures, self.known, JUDGED, learn, ask, file, self.judge_steps, self.say)

    @cached_property
    def embedding(self) -> Embedding:
        """The judge of likeness."""
        learn, ask, _ = self.groups
        file = self.folder / "embedding.safetensors"
        with FileLock(self.folder / ".embedding.lock"):
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
        arms = asked_for(self.arms)
        subjects = {arm.name: self.subjects(arm) for arm in arms}
        pairs = [(arm, place) for arm in arms for place in range(len(subjects[arm.name]))]
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
        self.manifest.part(*self.part).run(self.measure, self.say)
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

    def measure(self, case: Case) -> Figures:
        """Measure a case."""
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
        options = replace(options, face=self._which(picture, number) if options.align else 0)
        began = time.perf_counter()
        asked = Asked.of(picture, options, self.session.encoder, self.networks if options.align else None)
        direction = self._direction(arm, asked, number, options)
        ready = time.perf_counter()
        bare, final = self._edited(arm, picture, direction, options)
        done = time.perf_counter()
        marks = self.known.marks[number] * torch.tensor([picture.width, picture.height])
        before, raw, after = (frame_of(marks, MEASURED).cut(p) for p in (picture.pixels, bare, final))
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
        write(
            sheet([cells], cell=MEASURED * 2), self.folder / "pictures" / f"{case.name}.png", overwrite=True
        )
        return figures

    def _which(self, picture: Picture, number: int) -> int:
        """Return which face, counted from the left, is the one that the collection's picture is of."""
        own = self.known.marks[number]
        faces = find_faces(self.networks, picture.pixels)
        away = [float((torch.tensor(face.landmarks) - own).abs().mean()) for face in faces]
        return 1 + away.index(min(away)) if away else 0

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


def _draw(text: str) -> float:
    """Return a number in [0, 1) that depends on a text alone."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:12], 16) / 16**12
