"""The public floor: one-liners, the stream, and a session that keeps the networks.

Everything here is a thin drain of a method's stream of steps.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import katazome.methods.adain
import katazome.methods.attribute
import katazome.methods.feedforward
import katazome.methods.filters
import katazome.methods.gatys
import katazome.methods.material
import katazome.methods.multiscale
import katazome.methods.texture
import katazome.methods.wae
import katazome.methods.wct  # noqa: F401  (the imports register the methods)
from katazome.collections.cache import drained
from katazome.descent.checkpoint import read_checkpoint
from katazome.descent.loop import Checkpoint, Step
from katazome.device import keep_heap, resolve_device
from katazome.directions import Folder, Sets, direction_of
from katazome.errors import OptionError, PictureError
from katazome.looks import check_place, look_of, place_of
from katazome.methods.base import Engine, Inputs, Method, Photograph, get_method, list_methods
from katazome.methods.kept import KeptLooks
from katazome.methods.onepass import instant_options
from katazome.methods.options import (
    STARTS,
    InstantOptions,
    RestylingOptions,
    WalkOptions,
    check_preview,
)
from katazome.networks.decoders import Decoders, DecoderWeights
from katazome.networks.faces import open_faces
from katazome.networks.seen import Seen
from katazome.networks.vgg import Encoder
from katazome.objective.sharing import ALONE, Partners
from katazome.pictures.read import PictureLike, read
from katazome.placing import (
    name_filters,
    name_model,
    name_network,
    places,
    preview_size,
    read_canvas,
    read_inputs,
    read_photograph,
)
from katazome.recipe import make_recipe
from katazome.results import Record, Result, drain, record
from katazome.statistics.direction import Direction
from katazome.weights.flavours import VGGWeights, open_vgg
from katazome.work import Work, decided, on_device, stored, stored_direction, stored_model, stored_network

__all__ = [
    "DEFAULT_METHOD",
    "Record",
    "Result",
    "Session",
    "Work",
    "attribute",
    "drain",
    "get_method",
    "list_methods",
    "material",
    "record",
    "steps",
    "stylize",
    "texture",
]

DEFAULT_METHOD = "gatys"
"""What ``stylize`` does when no method is named; the page on methods says why, with pictures."""


class Session:
    """Keeps the network between pieces of work, and the process's heap fit for them.

    ``device`` is auto, cpu, cuda, cuda:N or mps; ``weights`` a file of VGG-19 weights, None for
    the catalogue's; ``decoders`` files that ``katazome train decoder`` made, each taken instead of the
    program's own decoder of its layer. ``heap=False`` leaves the C library's settings alone (see
    :func:`katazome.device.keep_heap`). ``keep_looks=True`` also keeps the statistics of styles, for many
    pictures in one look. ``partners`` share the tiles of each picture; each of them does the same work.
    """

    def __init__(
        self,
        *,
        device: str = "auto",
        weights: str | os.PathLike[str] | VGGWeights | None = None,
        decoders: Sequence[str | os.PathLike[str] | DecoderWeights] = (),
        heap: bool = True,
        keep_looks: bool = False,
        partners: Partners = ALONE,
    ) -> None:
        self.device = resolve_device(device)
        if heap:
            keep_heap()
        self.partners = partners
        self._weights = weights
        self._encoder: Encoder | None = None
        self._looks = KeptLooks() if keep_looks else None
        self.given_decoders = tuple(d if isinstance(d, DecoderWeights) else Path(d) for d in decoders)
        self._decoders: Decoders | None = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._encoder, self._decoders = None, None

    @property
    def encoder(self) -> Encoder:
        """The network, opened (and fetched, the first time ever) when it is first needed."""
        if self._encoder is None:
            given = self._weights
            weights = (
                given if isinstance(given, VGGWeights) else open_vgg(None if given is None else Path(given))
            )
            self._encoder = Encoder(weights, device=self.device)
        return self._encoder

    @property
    def _engine(self) -> Engine:
        if self._decoders is None:
            self._decoders = Decoders(self.encoder.weights, self.device, self.given_decoders)
        return Engine(self.encoder, self.device, self._decoders, self._looks, self.partners)

    def prepare(
        self,
        content: PictureLike | Photograph | None,
        styles: Sequence[PictureLike],
        *,
        method: str,
        preset: str | None = None,
        init: PictureLike | None = None,
        preview: str = "no",
        direction: Direction | None = None,
        **options: Any,
    ) -> Work:
        """Read the pictures, check the options and lay out the work without beginning it.

        ``preview`` is ``no``, ``small`` (no longer than 256 px) or ``instant`` (what ``adain`` makes of it in
        one pass). ``direction`` is for the method ``attribute``, which takes no styles.
        """
        chosen = get_method(method)
        check_preview(preview)
        content, seen = (content.source, content.seen) if isinstance(content, Photograph) else (content, None)
        start = None if isinstance(init, str) and init in STARTS else init
        if init is not None:
            options["init"] = init if start is None else "file"
        from_ = options.get("from_")
        if isinstance(from_, str) and from_:  # what else it may be the options themselves will say
            options["where"] = place_of(from_, options.get("where"))
        network = name_network(options, chosen.learnt) if chosen.learnt else None
        segmenter = None if chosen.learnt else name_model(options, self.encoder.weights)
        asked = places(options, segmenter)
        name_filters(options, self.encoder.weights)
        resolved = chosen.resolve(options, preset, self.encoder.weights.flavour)
        if chosen.content and content is None:
            raise OptionError(f"{method} restyles a picture; give a content picture")
        if not chosen.styled:
            assert content is not None
            if styles:
                why = ": its model has learnt one" if chosen.learnt else ""
                raise OptionError(f"{method} takes no style picture{why}; leave it out")
            if not chosen.learnt:
                inputs = replace(read_canvas(read(content), asked), direction=direction)
                return self.lay_out(chosen, resolved, inputs)
            inputs = replace(read_photograph(content, resolved, asked), network=network)
        else:
            own = chosen.where(resolved, self._engine)
            inputs = read_inputs(content, styles, start, resolved, asked, own)
            inputs = replace(inputs, segmenter=segmenter, network=network, seen=seen)
        if preview == "small":
            resolved = replace(resolved, size=preview_size(inputs, resolved))
        elif preview == "instant":
            return self._instant(chosen, resolved, inputs)
        return self.lay_out(chosen, resolved, inputs)

    def _instant(self, method: Method, options: Any, inputs: Inputs) -> Work:
        if method.learnt or isinstance(options, InstantOptions):
            return self.lay_out(method, options, inputs)  # it is made in one pass itself
        if not isinstance(options, RestylingOptions):
            raise OptionError(
                f"an instant preview is of a photograph that takes a style, and {method.name} restyles none; "
                "take a small one"
            )
        return self.lay_out(get_method("adain"), instant_options(options), replace(inputs, start=None))

    def lay_out(self, method: Method, options: Any, inputs: Inputs) -> Work:
        """Lay out work whose pictures are read and whose options are checked."""
        task = method.build(inputs, options, self._engine)
        weights = self.encoder.weights
        models = [] if inputs.segmenter is None else [("model", inputs.segmenter.sha256)]
        models += [] if inputs.direction is None else [("direction", inputs.direction.sha256)]
        precision = "+".join(dict.fromkeys(str(leg.dtype).removeprefix("torch.") for leg in task.plan.legs))
        recipe = make_recipe(
            method=method.name,
            options=decided(options, task.plan),
            seed=options.seed if isinstance(options, WalkOptions) else 0,
            precision=precision,
            device=self.device.type,
            processes=task.plan.processes,
            inputs=inputs.named(),
            weights=[(weights.name, weights.sha256), *task.networks, *models],
        )
        return Work(method, options, inputs, task, recipe)

    @staticmethod
    def photograph(picture: PictureLike) -> Photograph:
        """Return a content picture that remembers what the network sees in it.

        Given to several pieces of work, it is encoded once by methods that make a picture in one pass. It
        holds about 16 to 32 bytes for each pixel, as long as you hold it.
        """
        return Photograph(picture, Seen())

    def steps(
        self,
        content: PictureLike | Photograph,
        *styles: PictureLike,
        method: str = DEFAULT_METHOD,
        **options: Any,
    ) -> Iterator[Step]:
        """Restyle ``content`` and yield each step as it is made: look, stop, keep."""
        return self.prepare(content, styles, method=method, **options).steps()

    def stylize(
        self,
        content: PictureLike | Photograph,
        *styles: PictureLike,
        method: str = DEFAULT_METHOD,
        **options: Any,
    ) -> Result:
        """Restyle ``content`` with one or several styles; see :func:`stylize`."""
        return drain(self.prepare(content, styles, method=method, **options))

    def texture(self, *sources: PictureLike, **options: Any) -> Result:
        """Grow a texture; see :func:`texture`."""
        return drain(self.prepare(None, sources, method="texture", **options))

    def material(
        self,
        content: PictureLike,
        *,
        from_: str = "",
        to: str = "",
        looks: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
        look: PictureLike | None = None,
        blended: int = 1,
        **options: Any,
    ) -> Result:
        """Give a part of ``content`` the look of another material; see :func:`material`."""
        check_place(from_, options.get("where"))
        folders = [looks] if isinstance(looks, str | os.PathLike) else looks
        styles = drained(look_of(lambda: self.encoder, to=to, looks=folders, look=look, blended=blended))
        return drain(self.prepare(content, styles, method="material", from_=from_, to=to, **options))

    def attribute(
        self,
        content: PictureLike,
        *,
        faces: Folder | None = None,
        attributes: Folder | None = None,
        target: Folder | None = None,
        source: Folder | None = None,
        preset: str | None = None,
        **options: Any,
    ) -> Result:
        """Give a face an attribute, or take one away; see :func:`attribute`."""
        sets = Sets(faces=faces, attributes=attributes, target=target, source=source)
        resolved = get_method("attribute").resolve(options, preset, self.encoder.weights.flavour)
        picture = read(content)
        path = Path(content) if isinstance(content, str | os.PathLike) else None
        work = direction_of(lambda: self.encoder, open_faces, picture, path, sets, resolved)
        direction, _ = drained(work)
        return drain(
            self.prepare(picture, (), method="attribute", preset=preset, direction=direction, **options)
        )

    def resume(self, path: str | os.PathLike[str]) -> tuple[Work, Checkpoint, dict[str, Any]]:
        """Return the work of a checkpoint, where it stands, and its caller's header.

        Raises :class:`PictureError` when it was made with other weights than this session's.
        """
        checkpoint, header, extra = read_checkpoint(Path(path))
        method = get_method(str(header["method"]))
        weights = self.encoder.weights
        if header["weights"][0]["sha256"] != weights.sha256:
            raise PictureError(
                f"{path} was made with the weights {header['weights'][0]['name']}, not with {weights.name}; "
                "give the same file with --weights"
            )
        options = method.options.from_json(header["options"])
        inputs = Inputs.of([(p["role"], stored(p, n, extra)) for n, p in enumerate(header["pictures"])])
        if header.get("model"):
            inputs = replace(inputs, segmenter=stored_model(header["model"], extra, weights))
        if header.get("network"):
            inputs = replace(inputs, network=stored_network(method, header["network"], extra))
        if header.get("direction"):
            inputs = replace(inputs, direction=stored_direction(header["direction"], extra))
        work = self.lay_out(method, options, inputs)
        return work, on_device(checkpoint, self.device), dict(header["caller"])


def stylize(
    content: PictureLike,
    *styles: PictureLike,
    method: str = DEFAULT_METHOD,
    device: str = "auto",
    weights: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Result:
    """Restyle a photograph.

    Pictures are paths, Pillow images, arrays (H, W, 3|4), tensors (3|4, H, W) or bytes of a file.
    ``options`` are those of the method (``katazome stylize --help`` and the reference list them):
    ``size=1024``, ``strength=0.7``, ``style_scale=0.5``, ``color="luma"``, ``preset=...``, ...

    Raises :class:`OptionError`, :class:`PictureError`, :class:`WeightsError` or
    :class:`MethodError`, each with a sentence that says what to do.

    >>> result = katazome.stylize("photo.jpg", "painting.jpg", size=512)  # doctest: +SKIP
    >>> result.save("out.png")  # doctest: +SKIP
    """
    session = Session(device=device, weights=weights, heap=False)
    return session.stylize(content, *styles, method=method, **options)


def steps(
    content: PictureLike,
    *styles: PictureLike,
    method: str = DEFAULT_METHOD,
    device: str = "auto",
    weights: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Iterator[Step]:
    """Restyle a photograph and yield each step: ``.scale .index .loss .terms .seconds .image()``.

    Arguments as for :func:`stylize`. To stop, close the iterator or leave the loop.
    """
    session = Session(device=device, weights=weights, heap=False)
    return session.steps(content, *styles, method=method, **options)


def material(
    content: PictureLike,
    *,
    device: str = "auto",
    weights: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Result:
    """Give a part of a picture the look of another material: turn fabric into stone.

    What changes is ``from_``, a material that ``model`` knows, or ``where``, any region. What it becomes is
    ``look``, a picture, or ``to``, a class of ``looks``: a folder of class folders, of which the ``blended``
    (1) most typical pictures are taken, 0 for all. All else are options of the method ``material``.

    >>> made = katazome.material("jacket.jpg", from_="fabric", model="m.safetensors",
    ...                          to="stone", looks="materials/")  # doctest: +SKIP
    """
    return Session(device=device, weights=weights, heap=False).material(content, **options)


def attribute(
    content: PictureLike,
    *,
    device: str = "auto",
    weights: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Result:
    """Give a face an attribute, or take one away, by two sets of pictures and without training.

    The sets come from ``faces``, a folder of faces with a table of ``attributes`` (by default the one in or
    beside it), of which ``add`` and ``remove`` name what is to change; or from two folders, ``target`` and
    ``source``. All else are options of the method ``attribute``, such as ``strength`` and ``neighbours``.

    >>> made = katazome.attribute("face.jpg", faces="lfw/", add="Smiling")  # doctest: +SKIP
    """
    return Session(device=device, weights=weights, heap=False).attribute(content, **options)


def texture(
    *sources: PictureLike,
    device: str = "auto",
    weights: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Result:
    """Grow a texture with the look of one or several sources: ``size="1024x512"``, ``seamless="both"``."""
    return Session(device=device, weights=weights, heap=False).texture(*sources, **options)
