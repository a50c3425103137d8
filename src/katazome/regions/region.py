"""What a region is: a small value that turns a picture into a soft map of itself.

Regions know nothing of methods, and methods see nothing but maps, so any region works with any
method. ``~a``, ``a & b`` and ``a | b`` combine them by the algebra of chances: 1 - a, a b and
1 - (1 - a)(1 - b). With these ``a & b`` and ``a & ~b`` add up to ``a`` at every pixel, soft edges
included, which the smaller and the larger of two values would not give.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor

from katazome.errors import OptionError, RegionError
from katazome.faces.blend import face_map
from katazome.faces.detect import find_faces, one_face
from katazome.filters.select import chosen_of, words_of
from katazome.networks.faces import FaceNetworks, open_faces
from katazome.networks.segmenter import Segmenter
from katazome.networks.vgg import Encoder
from katazome.pictures.mask import mask_map
from katazome.pictures.read import Picture, PictureLike
from katazome.regions.detector import chosen_detector
from katazome.regions.excited import excited_map
from katazome.regions.materials import class_called, material_map
from katazome.regions.objects import meaning_of, object_map
from katazome.regions.saliency import salient_map
from katazome.weights.flavours import open_vgg

PLAIN = re.compile(r"""[^\s"'=(),]+""")
"""What a name may be without quotes; see :mod:`katazome.regions.grammar`."""


class Region(ABC):
    """A part of a picture. Made by the functions below or :func:`katazome.regions.grammar.parse`."""

    @abstractmethod
    def of(self, picture: Picture) -> Tensor:
        """Return the soft map of a picture: (1, 1, H, W) float32 in [0, 1], 1 = inside.

        Raises :class:`RegionError` when it cannot be made.
        """

    @abstractmethod
    def __str__(self) -> str:
        """Return the words that :func:`katazome.regions.grammar.parse` reads back."""

    @abstractmethod
    def anonymous(self) -> str:
        """Return the words without the names of files: what may be written into a recipe."""

    def __invert__(self) -> Region:
        return self.inner if isinstance(self, Not) else Not(self)

    def __and__(self, other: Region) -> Region:
        return Both(self, other)

    def __or__(self, other: Region) -> Region:
        return Either(self, other)

    @staticmethod
    def everything() -> Region:
        """Return the whole picture."""
        return Everything()

    @staticmethod
    def transparent() -> Region:
        """Return what is transparent in the picture."""
        return Transparent()

    @staticmethod
    def salient() -> Region:
        """Return the one thing that stands out."""
        return Salient()

    @staticmethod
    def face(number: int | None = None) -> Region:
        """Return the faces, or one of them, numbered from 1 and from the left."""
        return Faces("" if number is None else str(number))

    @staticmethod
    def object(name: str, detector: str | None = None) -> Region:
        """Return the things of a name, such as ``dog``, ``golden retriever`` or ``犬``.

        ``detector`` is the folder of an open-vocabulary detector, which knows any words; None for the one
        in the environment (KATAZOME_DETECTOR), or else the classifier.

        Raises :class:`katazome.errors.OptionError` for a name that is not known.
        """
        return Object(name, detector)

    @staticmethod
    def filters(file: str) -> Region:
        """Return where the filters of a selection answer (``katazome filters select``).

        Raises :class:`katazome.errors.OptionError` for a file that cannot be read.
        """
        return Filters(file)

    @staticmethod
    def material(name: str, segmenter: Segmenter) -> Region:
        """Return what is of a material, by a model (:func:`katazome.networks.segmenter.open_segmenter`).

        Raises :class:`katazome.errors.OptionError` for a material that the model does not know.
        """
        return Material(name, segmenter)

    @staticmethod
    def mask(file: PictureLike) -> Region:
        """Return what is bright in another picture, of any size and the same aspect."""
        return Mask(file)


class _Word(Region):
    """A region that is one word."""

    word: str

    def __str__(self) -> str:
        return self.word

    def anonymous(self) -> str:
        return self.word


@dataclass(frozen=True)
class Everything(_Word):
    """The whole picture."""

    word = "everything"

    def of(self, picture: Picture) -> Tensor:
        """See :class:`Region`."""
        return torch.ones_like(picture.pixels[:, :1])


@dataclass(frozen=True)
class Transparent(_Word):
    """What is transparent; nothing in an opaque picture."""

    word = "transparent"

    def of(self, picture: Picture) -> Tensor:
        """See :class:`Region`."""
        if picture.alpha is None:
            return torch.zeros_like(picture.pixels[:, :1])
        return 1 - picture.alpha


@dataclass(frozen=True)
class Salient(_Word):
    """The one thing that stands out; see :func:`katazome.regions.saliency.salient_map`."""

    word = "salient"

    def of(self, picture: Picture) -> Tensor:
        """See :class:`Region`."""
        return salient_map(picture.pixels)


@dataclass(frozen=True)
class Faces(Region):
    """The faces; with a ``number``, counted from 1 and from the left, one of them."""

    number: str = ""

    def __post_init__(self) -> None:
        if self.number and (not self.number.isdecimal() or int(self.number) < 1):
            raise OptionError(
                f"face:{self.number} is no face; they are numbered from the left, face:1 is one"
            )

    def of(self, picture: Picture) -> Tensor:
        """See :class:`Region`."""
        found = find_faces(_face_networks(), picture.pixels)
        if self.number or not found:
            found = [one_face(found, int(self.number or 0), picture.name)]
        return face_map(found, (picture.height, picture.width))

    def __str__(self) -> str:
        return f"face:{self.number}" if self.number else "face"

    def anonymous(self) -> str:
        """See :class:`Region`."""
        return str(self)


@dataclass(frozen=True)
class Object(Region):
    """The things of a name; see :func:`katazome.regions.objects.object_map`.

    With a ``detector``, or one in the environment, the name may be any words.
    """

    name: str
    detector: str | None = None

    def __post_init__(self) -> None:
        if chosen_detector(self.detector) is None:
            meaning_of(self.name)

    def of(self, picture: Picture) -> Tensor:
        """See :class:`Region`."""
        return object_map(picture.pixels, self.name, picture.name, chosen_detector(self.detector))

    def __str__(self) -> str:
        return f"object:{quoted(self.name)}"

    def anonymous(self) -> str:
        """See :class:`Region`."""
        return str(self)


@dataclass(frozen=True)
class Filters(Region):
    """Where chosen filters of the recognition network answer; see :mod:`katazome.regions.excited`.

    ``file`` is that of a selection, or words as ``relu5_1:3,140``; it is read when the region is made.
    ``encoder`` is the network they are of; None for the catalogue's.
    """

    file: str
    encoder: Encoder | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        chosen_of(self.file)

    def of(self, picture: Picture) -> Tensor:
        """See :class:`Region`."""
        encoder = self.encoder or _recognition()
        return excited_map(encoder, picture.pixels, chosen_of(self.file, encoder.weights), picture.name)

    def __str__(self) -> str:
        return f"filters:{quoted(self.file)}"

    def anonymous(self) -> str:
        """See :class:`Region`."""
        return f"filters:{quoted(words_of(chosen_of(self.file)))}"


@dataclass(frozen=True)
class Material(Region):
    """What is of a material; see :func:`katazome.regions.materials.material_map`.

    ``segmenter`` is the model that tells materials apart, without which nothing is found.
    """

    name: str
    segmenter: Segmenter | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.segmenter is not None:
            class_called(self.segmenter, self.name)

    def of(self, picture: Picture) -> Tensor:
        """See :class:`Region`."""
        if self.segmenter is None:
            raise OptionError(
                f"{self} needs a model; give its file by --model (`katazome train segmenter` makes one from "
                "pictures in class folders); where --model is a network for one style, make a mask by "
                "`katazome segment` and take mask:FILE"
            )
        return material_map(self.segmenter, picture.pixels, self.name, picture.name)

    def __str__(self) -> str:
        return f"material:{quoted(self.name)}"

    def anonymous(self) -> str:
        """See :class:`Region`."""
        return str(self)


@cache
def _face_networks() -> FaceNetworks:
    return open_faces()


@cache
def _recognition() -> Encoder:
    return Encoder(open_vgg())


@dataclass(frozen=True, eq=False)
class Mask(Region):
    """What is bright in a mask; see :func:`katazome.pictures.mask.mask_map`."""

    file: PictureLike

    def of(self, picture: Picture) -> Tensor:
        """See :class:`Region`."""
        return mask_map(self.file, picture)

    def __str__(self) -> str:
        named = isinstance(self.file, str) or hasattr(self.file, "__fspath__")
        return f"mask:{quoted(str(self.file) if named else 'picture')}"

    def anonymous(self) -> str:
        """See :class:`Region`."""
        return "mask:file"


@dataclass(frozen=True)
class Not(Region):
    """All but a region."""

    inner: Region

    def of(self, picture: Picture) -> Tensor:
        """See :class:`Region`."""
        return 1 - self.inner.of(picture)

    def __str__(self) -> str:
        return f"not:{self.inner}"

    def anonymous(self) -> str:
        """See :class:`Region`."""
        return f"not:{self.inner.anonymous()}"


@dataclass(frozen=True)
class _Pair(Region):
    """Two regions joined by a word."""

    one: Region
    other: Region
    word: ClassVar[str]

    def __str__(self) -> str:
        return f"({self.one} {self.word} {self.other})"

    def anonymous(self) -> str:
        """See :class:`Region`."""
        return f"({self.one.anonymous()} {self.word} {self.other.anonymous()})"


class Both(_Pair):
    """What lies in two regions."""

    word = "and"

    def of(self, picture: Picture) -> Tensor:
        """See :class:`Region`."""
        return self.one.of(picture) * self.other.of(picture)


class Either(_Pair):
    """What lies in one of two regions or in both."""

    word = "or"

    def of(self, picture: Picture) -> Tensor:
        """See :class:`Region`."""
        return 1 - (1 - self.one.of(picture)) * (1 - self.other.of(picture))


def quoted(name: str) -> str:
    """Return a name as the grammar reads it: in quotes where it has to be."""
    if PLAIN.fullmatch(name):
        return name
    quote = "'" if '"' in name else '"'
    if quote in name:
        raise RegionError(f"the name {name} has both kinds of quotes in it; rename the file")
    return f"{quote}{name}{quote}"
