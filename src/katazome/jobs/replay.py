"""The look of a recipe on another picture: what :meth:`katazome.api.Session.prepare` is to be asked.

A recipe is data. It names no file and none that it might name is opened: pictures, masks and models are
given beside it and held against its hashes. With the same inputs on the same machine, in as many threads,
the pixels are the same in float32.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch

from katazome import __version__
from katazome.api import Session
from katazome.device import keep_threads, resolve_device, supports_bfloat16
from katazome.errors import OptionError, PictureError, nearest
from katazome.methods.base import Method, get_method
from katazome.pictures.read import PictureLike, file_bytes
from katazome.recipe import Recipe, RecipeInput, open_recipe
from katazome.regions.grammar import parse_recorded
from katazome.results import Result, drain
from katazome.weights.flavours import VGGWeights

FileLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Replay:
    """A recipe, and the files that it was made with or that take their place."""

    recipe: Recipe
    styles: Sequence[FileLike] = ()
    """In any order: each is known by its hash."""
    masks: Sequence[FileLike] = ()
    """One for each ``mask:file`` in ``where``, ``style_where`` and ``at``, in that order."""
    other_style: bool = False
    """Whether other styles, and another start, may take the place of the recipe's, in the order given."""
    other_weights: bool = False
    """Whether another network or model may."""

    @property
    def method(self) -> Method:
        """The recipe's method; :class:`OptionError` when this version has none of that name."""
        with_version = f"the recipe was made by katazome {self.recipe.katazome[:20]}, this is {__version__}"
        try:
            method = get_method(self.recipe.method[:80])
            method.options.from_json(self.recipe.options)
        except OptionError as error:
            raise OptionError(f"{with_version}: {error}") from error
        if not method.styled and not method.learnt:
            raise OptionError(
                f"{method.name} changes a picture by sets of pictures, which a recipe cannot name; "
                f"use `katazome {method.name}`"
            )
        return method

    def check_asked(self, content: PictureLike | None, given: Mapping[str, Any]) -> None:
        """Raise :class:`OptionError` where a recipe is asked for what it settles itself."""
        method = self.method
        if given.get("method", method.name) != method.name:
            raise OptionError(
                f"the recipe's method is {method.name}, method says {given['method']}; leave it out"
            )
        if given.get("preset") is not None:
            raise OptionError("preset and recipe both set all options; give one of them")
        if method.content and content is None:
            raise OptionError(f"the recipe restyles a picture ({method.name}); name one after it")
        if not method.content and content is not None:
            said = f"'{content}'" if isinstance(content, str | os.PathLike) else "the picture"
            raise OptionError(f"the recipe restyles no picture ({method.name}); leave {said} out")

    def device(self) -> str:
        """Return the kind of device it was made on where this machine has it, else ``auto``."""
        try:
            return resolve_device(self.recipe.device).type
        except OptionError:
            return "auto"

    def arguments(
        self, changed: Mapping[str, Any], device: torch.device
    ) -> tuple[list[PictureLike], dict[str, Any]]:
        """Return styles and options for ``prepare``; the options in ``changed`` count more.

        Raises:
            OptionError: a file is missing, or too many are given; the options are not this version's.
            PictureError: a style is not the recipe's.
        """
        options = {**self._recorded(changed, device), **changed}
        for name, value, what in (
            ("init", "file", "began from a picture"),
            ("model", "model", "was made by a model"),
        ):
            if options.get(name) == value and name not in changed:
                raise OptionError(f"the recipe {what}; give its file by --{name}")
        own = [one for one in self.recipe.inputs if one.role == "style"]
        main = len(own) - len(self.recipe.options.get("at", ()))
        styles = self._matched(own[:main] if "at" in changed else own)
        options |= self._regions(options, changed, styles[main:])
        return styles[:main], options

    def check(self, made: Recipe) -> None:
        """Raise :class:`PictureError` when work was laid out with another network, model or start."""
        self.check_weights([(one.name, one.sha256) for one in made.weights])
        self.check_start(next((one.sha256 for one in made.inputs if one.role == "init"), None))

    def check_start(self, sha256: str | None) -> None:
        """Raise :class:`PictureError` where the picture to start from is another; None for none."""
        own = next((one.sha256 for one in self.recipe.inputs if one.role == "init"), None)
        if sha256 and own and sha256 != own and not self.other_style:
            raise PictureError(
                f"the picture to start from is not the recipe's (SHA-256 {_short(own)}); "
                "give that one, or say --other-style"
            )

    def check_weights(self, here: Sequence[tuple[str, str]]) -> None:
        """Raise :class:`PictureError` where (name, sha256) of a network or model is missing or another."""
        if self.other_weights:
            return
        for weights in self.recipe.weights:
            if weights.sha256 not in {sha256 for _, sha256 in here}:
                own = ", ".join(f"{name} {_short(sha256)}" for name, sha256 in here)
                raise PictureError(
                    f"the recipe was made with {weights.name[:40]}, SHA-256 {_short(weights.sha256)}, "
                    f"here are {own}; give its file by --weights or --model, or say --other-weights"
                )

    def _recorded(self, changed: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
        """Return the recipe's options, without those that ``changed`` speaks for in other words."""
        options = self.method.options.from_json(self.recipe.options).to_json()
        gone: set[str] = set()
        if changed.get("strength") is not None:  # as Method.resolve has it
            gone |= {"content_weight", "style_weight"}
        if any(changed.get(name) is not None for name in ("content_weight", "style_weight")):
            gone.add("strength")
        if options.get("from_"):  # which says where by itself
            gone.add("where")
        if options.get("precision") == "auto" and supports_bfloat16(device):
            # auto goes by the machine: here it would begin in bfloat16, there it may not have
            options["precision"] = {"float32": "float32"}.get(self.recipe.precision, "auto")
        return {name: value for name, value in options.items() if name not in gone}

    def _matched(self, wanted: Sequence[RecipeInput]) -> list[PictureLike]:
        """Return the styles in the recipe's order."""
        said = " and ".join(f"{one.width} x {one.height} px, SHA-256 {_short(one.sha256)}" for one in wanted)
        if not self.styles and not wanted:
            return []
        if not self.styles:
            raise OptionError(f"a recipe holds no pictures; give its style by --style FILE ({said})")
        given = [
            (file, data := file_bytes(file)[0], hashlib.sha256(data).hexdigest()) for file in self.styles
        ]
        usable: list[tuple[PictureLike, str]] = [
            (data if file == "-" else file, sha256) for file, data, sha256 in given
        ]
        if not self.other_style:
            known = {one.sha256 for one in wanted}
            for file, _, sha256 in given:
                if sha256 not in known:
                    raise PictureError(
                        f"'{os.fspath(file)}' is not the recipe's style: its SHA-256 is {_short(sha256)}; "
                        f"it was made with {said}. Give that file, or say --other-style"
                    )
            found = {sha256: picture for picture, sha256 in usable}
            if missing := [one.sha256 for one in wanted if one.sha256 not in found]:
                raise OptionError(
                    f"a style of the recipe is not given, SHA-256 {_short(missing[0])}; "
                    "give each by a --style of its own"
                )
            return [found[one.sha256] for one in wanted]
        if len(usable) != len(wanted):
            raise OptionError(f"the recipe has {len(wanted)} styles, {len(usable)} are given; give as many")
        return [picture for picture, _ in usable]

    def _regions(
        self, options: Mapping[str, Any], changed: Mapping[str, Any], apart: Sequence[PictureLike]
    ) -> dict[str, Any]:
        """Return the recorded regions with the masks in their places."""
        masks: Iterator[str] = iter([os.fspath(mask) for mask in self.masks])
        found: dict[str, Any] = {}
        for name in ("where", "style_where"):
            if name in options and name not in changed:
                found[name] = ", ".join(str(one) for one in parse_recorded(str(options[name]), name, masks))
        if "at" in options and "at" not in changed:
            texts = [str(parse_recorded(text, "at", masks)[0]) for text in options["at"]]
            found["at"] = list(zip(texts, apart, strict=True))
        if (left := next(masks, None)) is not None:
            raise OptionError(f"the recipe has no place for the mask '{left}'; leave it out, or say --where")
        return found


def _short(sha256: str) -> str:
    return f"{sha256[:12]}..."


def replay(
    recipe: FileLike | Recipe,
    content: PictureLike | None = None,
    *,
    styles: Sequence[FileLike] = (),
    masks: Sequence[FileLike] = (),
    other_style: bool = False,
    other_weights: bool = False,
    device: str = "",
    weights: FileLike | VGGWeights | None = None,
    **options: Any,
) -> Result:
    """Make the look of a recipe once more, on another picture.

    Args:
        recipe: a picture that carries one, its JSON as a file, or the recipe itself.
        content: the picture to restyle; None where the recipe grows a texture.
        styles: the recipe's style pictures, in any order: each is known by its hash.
        masks: files of its masks, in the order of ``where``, ``style_where`` and ``at``.
        other_style: whether other styles, or another start, may take the place of the recipe's.
        other_weights: whether another network or model may.
        device: as for :func:`stylize`; empty for the recipe's where this machine has it.
        weights: as for :func:`stylize`.
        options: of the recipe's method; what is given here counts more than what is recorded.

    It is done in as many threads as the recipe was where this machine has them, and torch's number of
    threads is then set back. ``result.recipe == read_recipe("out.png")`` where all was as before.

    Raises :class:`OptionError`, :class:`PictureError`, :class:`WeightsError` or :class:`MethodError`.

    >>> made = katazome.replay("out.png", "other.jpg", styles=["painting.jpg"])  # doctest: +SKIP
    """
    again = Replay(
        recipe if isinstance(recipe, Recipe) else open_recipe(recipe),
        styles,
        masks,
        other_style=other_style,
        other_weights=other_weights,
    )
    if isinstance(styles, str | os.PathLike) or isinstance(masks, str | os.PathLike):
        raise OptionError("styles and masks are lists of files; put the one in brackets")
    again.check_asked(content, options)
    options.pop("method", None)
    known = [f.name for f in fields(again.method.options)]
    for name in options:
        if name not in known:
            near = nearest(name, [*known, "styles", "masks"])
            raise OptionError(f"{again.method.name} has no option '{name}'{near}")
    threads = torch.get_num_threads()
    try:
        keep_threads(again.recipe.threads)
        session = Session(device=device or again.device(), weights=weights, heap=False)
        looks, wanted = again.arguments(options, session.device)
        work = session.prepare(content, looks, method=again.method.name, **wanted)
        again.check(work.recipe)
        return drain(work)
    finally:
        torch.set_num_threads(threads)
