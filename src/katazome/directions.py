"""From words to a direction: which faces smile, which do not, and what the network sees in both.

The input is looked at first: its face and its frame. Then two sets of pictures are chosen near it, out of a
collection with attributes or from two folders, each brought onto the input's face, and their mean features
subtracted (:class:`katazome.statistics.direction.Direction`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from katazome.collections.cache import Progress
from katazome.collections.choosing import (
    FEWEST,
    Collection,
    Wish,
    attribute_distance,
    check_sides,
    collection,
    nearest,
)
from katazome.collections.folders import Source, find, load
from katazome.device import supports_bfloat16
from katazome.errors import OptionError, PictureError
from katazome.faces.align import Frame, frame_of, square_in
from katazome.faces.detect import find_faces, one_face
from katazome.faces.known import CUT, KnownFaces, known_faces, onto, seen_of
from katazome.methods.attribute_options import AttributeOptions
from katazome.networks.faces import FaceNetworks
from katazome.networks.vgg import Encoder
from katazome.objective.whole import feature_maps
from katazome.pictures.read import Picture
from katazome.statistics.direction import Direction, RunningMean, by_norm, norm

Folder = str | os.PathLike[str]

LOADED = 1.25
"""A collection's pictures are decoded at so many times the side of the frame, and warped from there."""

_AHEAD, _WORKERS = 16, 2


@dataclass(frozen=True, kw_only=True)
class Sets:
    """Where the two sets come from: a collection of ``faces`` with ``attributes``, or two folders."""

    faces: Folder | None = None
    attributes: Folder | None = None
    """The table; None for the one in or beside the folder."""
    target: Folder | None = None
    source: Folder | None = None

    def __post_init__(self) -> None:
        folders = (self.target is not None, self.source is not None)
        if self.faces is not None and any(folders):
            raise OptionError(
                "faces, and target and source, both say where the sets come from; give one of them"
            )
        if self.faces is None and not all(folders):
            raise OptionError(
                "where the two sets come from was not said; give --faces DIR with attributes, or both "
                "--target DIR and --source DIR"
            )
        if self.faces is None and self.attributes is not None:
            raise OptionError("attributes is a table of a collection; give the collection by --faces DIR")


@dataclass(frozen=True)
class Asked:
    """The input as it is compared: the frame in it, its landmarks (5, 2) in px of the frame, its features."""

    picture: Picture
    frame: Frame
    marks: Tensor | None
    features: Tensor

    @staticmethod
    def of(
        picture: Picture, options: AttributeOptions, encoder: Encoder, networks: FaceNetworks | None
    ) -> Asked:
        """Look at a picture; ``networks`` find its face, None takes the square in its middle.

        Raises :class:`PictureError` where there is no face, or several and none was said.
        """
        size = (picture.height, picture.width)
        if networks is None:
            small, frame, marks = square_in(size, CUT), square_in(size, options.size), None
        else:
            face = one_face(find_faces(networks, picture.pixels), options.face, picture.name)
            places = face.marks(*size)
            small, frame = frame_of(places, CUT), frame_of(places, options.size)
            inverse = torch.linalg.inv(frame.matrix[:, :2])
            marks = (places - frame.matrix[:, 2]) @ inverse.T
        fast = torch.bfloat16 if supports_bfloat16(encoder.device) else torch.float32
        with torch.no_grad():
            features = seen_of(encoder.with_(dtype=fast), small.cut(picture.pixels)).cpu()[0]
        return Asked(picture, frame, marks, features)


@dataclass(frozen=True)
class Chosen:
    """The pictures of both sets, and how they were chosen, in sentences."""

    target: Sequence[Source]
    source: Sequence[Source]
    by: str
    notes: Sequence[str] = ()
    facts: dict[str, Any] = field(default_factory=dict)


def direction_of(
    open_encoder: Callable[[], Encoder],
    open_networks: Callable[[], FaceNetworks],
    picture: Picture,
    path: Path | None,
    sets: Sets,
    options: AttributeOptions,
) -> Generator[Progress, None, tuple[Direction, Chosen]]:
    """Choose two sets near a picture and return the way from the one to the other.

    ``path`` is the picture's file, by which a collection knows it; None for one in memory.

    Raises :class:`OptionError` for an attribute that is not known, :class:`PictureError` where no face is
    found, or too few pictures.
    """
    if sets.faces is not None:
        wish = Wish(options.add, options.remove, options.is_, options.is_not)
        pictures = collection(Path(sets.faces), None if sets.attributes is None else Path(sets.attributes))
        wish.sides(pictures)  # a word that is not known is to be said now
        candidates: Sequence[Source] = pictures.sources
    else:
        pictures, wish = None, None
        sides = _folders(sets, options)
        candidates = [*sides[0], *sides[1]]
    encoder, networks = open_encoder(), open_networks() if options.align else None
    asked = Asked.of(picture, options, encoder, networks)
    known = yield from known_faces(encoder, networks, candidates)
    if pictures is not None and wish is not None:
        chosen = chosen_of(pictures, wish, known, asked, path, options)
    else:
        chosen = _nearest_of(sides, known, asked, path, options)
    means = []
    for part in (chosen.target, chosen.source):
        means.append((yield from mean_of(encoder, part, known, asked, options)))
    return difference(encoder, means, chosen, asked, options), chosen


def _folders(sets: Sets, options: AttributeOptions) -> tuple[tuple[Source, ...], tuple[Source, ...]]:
    assert sets.target is not None
    assert sets.source is not None
    if options.add or options.remove or options.is_ or options.is_not:
        raise OptionError("attributes are of a collection; with --target and --source the folders say it all")
    if Path(sets.target).resolve() == Path(sets.source).resolve():
        raise OptionError(
            f"target and source are the same folder, '{sets.target}'; there is no way from it to itself"
        )
    return find([Path(sets.target)]), find([Path(sets.source)])


def chosen_of(
    pictures: Collection,
    wish: Wish,
    known: KnownFaces,
    asked: Asked,
    path: Path | None,
    options: AttributeOptions,
) -> Chosen:
    """Choose the two sets out of a collection, for a picture that may be one of it.

    Raises :class:`PictureError` where a side has too few.
    """
    number = None if path is None else pictures.number_of(path)
    by = options.by
    if by == "auto":
        by = "features" if number is None else "attributes"
    if by == "attributes" and number is None:
        raise OptionError(
            f"'{asked.picture.name}' has no row in the table {pictures.table.name}; take --by features, and "
            "say what you know of it by --is and --is-not"
        )
    left = known.there.copy()
    if number is not None:
        left &= np.array([not _same_person(pictures, n, number) for n in range(len(left))])
    away: NDArray[np.float64]
    if by == "attributes":
        assert number is not None
        away = attribute_distance(pictures, pictures.values()[number], wish)
    elif by == "random":
        away = np.random.default_rng(options.seed).random(len(left))
    else:
        away = known.away(asked.features)
    pose = None if asked.marks is None or by == "random" else known.pose(asked.marks)
    target, source = (nearest(side & left, options.neighbours, pose, away) for side in wish.sides(pictures))
    check_sides(target, source, wish)
    facts = {"table": pictures.table.name, "kind": pictures.table.kind, "collection": len(pictures.sources)}
    return Chosen(
        [pictures.sources[n] for n in target],
        [pictures.sources[n] for n in source],
        by,
        pictures.notes,
        facts,
    )


def _same_person(pictures: Collection, one: int, other: int) -> bool:
    return one == other or (pictures.people[one] != "" and pictures.people[one] == pictures.people[other])


def _nearest_of(
    sides: Sequence[Sequence[Source]],
    known: KnownFaces,
    asked: Asked,
    path: Path | None,
    options: AttributeOptions,
) -> Chosen:
    """Choose the nearest of each of two folders."""
    if options.by == "attributes":
        raise OptionError("two folders have no attributes to choose by; take --by features")
    random = options.by == "random"
    away = (
        np.random.default_rng(options.seed).random(len(known.there)) if random else known.away(asked.features)
    )
    pose = None if asked.marks is None or random else known.pose(asked.marks)
    own = None if path is None else path.resolve()
    free = known.there & np.array([source.path != own for source in known.sources])
    found = []
    for name, side in zip(("target", "source"), sides, strict=True):
        inside = _in(known, side)
        numbers = nearest(inside & free, options.neighbours, pose, away)
        if len(numbers) < FEWEST:
            what = "a face that was found" if options.align else "something that can be read"
            raise PictureError(
                f"only {len(numbers)} of the {len(side)} pictures of the {name} have {what}; at least "
                f"{FEWEST} are needed"
            )
        found.append([known.sources[n] for n in numbers])
    return Chosen(found[0], found[1], "random" if random else "features")


def _in(known: KnownFaces, side: Sequence[Source]) -> NDArray[np.bool_]:
    inside = set(side)
    return np.array([source in inside for source in known.sources])


Mean = tuple[dict[str, Tensor], Tensor]
"""Mean features by tap, and the mean picture (1, 3, side, side)."""


def mean_of(
    encoder: Encoder,
    sources: Sequence[Source],
    known: KnownFaces,
    asked: Asked,
    options: AttributeOptions,
) -> Generator[Progress, None, Mean]:
    """Return the means over a set, each picture brought onto the input's face; one at a time in memory.

    Raises :class:`PictureError` when one cannot be read any more.
    """
    fast = torch.bfloat16 if supports_bfloat16(encoder.device) else torch.float32
    trunk = encoder.with_(pooling=options.pooling, padding=(options.padding,) * 2, dtype=fast)
    loaded = round(LOADED * options.size)
    view = onto(known, asked.marks, options.size, loaded)
    mean, pixels = RunningMean(), RunningMean()
    pictures = load(enumerate(sources), loaded, {}, workers=_WORKERS, ahead=_AHEAD)
    for number, one in enumerate(pictures):
        if one.pixels is None:
            raise PictureError(f"a picture of the set cannot be read any more: {one.reason}")
        square = view(sources[one.index], one.pixels).to(encoder.device)
        maps = {n: f.float() for n, f in feature_maps(trunk, square, options.taps).items()}
        mean.add(by_norm(maps) if options.convention == "unit" else maps)
        pixels.add({"pixels": square})
        yield Progress(number + 1, len(sources))
    return {name: found.cpu() for name, found in mean.maps().items()}, pixels.maps()["pixels"].cpu()


def difference(
    encoder: Encoder, means: Sequence[Mean], chosen: Chosen, asked: Asked, options: AttributeOptions
) -> Direction:
    """Return the direction from the second of two means to the first."""
    (target, bright), (source, dark) = means
    maps = {name: target[name] - source[name] for name in target}
    square = asked.frame.cut(asked.picture.pixels).to(encoder.device)
    own = feature_maps(
        encoder.with_(pooling=options.pooling, padding=(options.padding,) * 2), square, options.taps
    )
    lengths = {name: [float(norm([own[name]])), float(norm([maps[name]]))] for name in maps}
    facts = {
        **chosen.facts,
        "by": chosen.by,
        "target": len(chosen.target),
        "source": len(chosen.source),
        "lengths": lengths,
    }
    return Direction(
        maps,
        bright - dark,
        asked.frame.matrix,
        asked.frame.side,
        asked.marks is not None,
        options.convention == "unit",
        facts,
    )
