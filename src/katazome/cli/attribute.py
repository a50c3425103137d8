"""The command ``katazome attribute``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from katazome.api import Session, Work
from katazome.cli import declare
from katazome.cli.download import Download
from katazome.cli.drive import INTERRUPTED, Interrupt, finished
from katazome.cli.settings import AttributeSettings
from katazome.cli.show import counted, show_for, tell
from katazome.cli.stylize import CLASSES, carry_out, check_options, check_output
from katazome.collections.choosing import collection
from katazome.collections.folders import Source, load_square
from katazome.directions import Chosen, Sets, direction_of
from katazome.errors import OptionError, PictureError
from katazome.faces.align import Frame
from katazome.methods.base import Method, get_method
from katazome.networks.faces import NETWORKS, FaceNetworks, open_faces
from katazome.pictures.read import Picture, read
from katazome.pictures.sheet import sheet
from katazome.pictures.write import check_target, default_name, write
from katazome.processes import alone
from katazome.statistics.direction import Direction
from katazome.weights import store

_CELL, _SMALL, _ACROSS = 256, 96, 10


def _attribute(*content: str, **given: Any) -> int:
    settings = AttributeSettings.from_json(declare.values_of(AttributeSettings, given))
    alone("an edit")
    if settings.list_:
        return _list(settings)
    if len(content) != 1:
        raise OptionError(f"one picture is edited at a time, {len(content)} were named")
    method = get_method("attribute")
    options = {k: v for k, v in given.items() if k not in declare.declared({"": AttributeSettings})}
    check_options(method, settings.preset, options)
    job = _Job(content[0], settings, method, declare.values_of(method.options, options))
    return job.run()


@dataclass(frozen=True)
class _Job:
    """One face to be edited."""

    content: str
    settings: AttributeSettings
    method: Method
    given: Mapping[str, Any]

    def run(self) -> int:
        settings = self.settings
        sets = Sets(
            faces=settings.faces,
            attributes=settings.attributes,
            target=settings.target,
            source=settings.source,
        )
        if settings.strengths is not None and self.given.get("strength") is not None:
            raise OptionError("strength and strengths both say how far to go; give one of them")
        output = "-" if settings.plan else self._output()
        session = Session(device=settings.device, weights=settings.network())
        options = self.method.resolve(self.given, settings.preset, session.encoder.weights.flavour)
        picture = read(self.content)
        path = None if self.content == "-" else Path(self.content)
        with Interrupt(quiet=settings.quiet, keeping="this picture, then keeping what was seen") as interrupt:
            work = direction_of(lambda: session.encoder, self._networks, picture, path, sets, options)
            found = counted(work, "faces seen", interrupt, quiet=settings.quiet)
        if found is None:
            tell("interrupted; what was seen is kept. To go on: the same command again", quiet=settings.quiet)
            return INTERRUPTED
        direction, chosen = found
        self._say(direction, chosen)
        if settings.strengths is not None:
            return self._sheet(session, picture, direction, output)
        return carry_out(self._work(session, picture, direction), session, output, settings)

    def _output(self) -> str:
        settings = self.settings
        stem = "picture" if self.content == "-" else Path(self.content).stem or "picture"
        words = [*(self.given.get("add") or ()), *(f"no-{w}" for w in self.given.get("remove") or ())]
        output = settings.output
        if output is None:
            output = default_name(stem, words or [Path(settings.target or "attribute").name])
        check_output(output, settings)
        if settings.sets is not None:
            check_target(settings.sets, overwrite=settings.overwrite, depth=8)
        return output

    def _networks(self) -> FaceNetworks:
        with Download("weights mtcnn", quiet=self.settings.quiet) as progress:
            store.fetch(NETWORKS[0], progress=progress)
        return open_faces()

    def _work(self, session: Session, picture: Picture, direction: Direction, **more: Any) -> Work:
        return session.prepare(
            picture,
            (),
            method=self.method.name,
            preset=self.settings.preset,
            direction=direction,
            **{**self.given, **more},
        )

    def _say(self, direction: Direction, chosen: Chosen) -> None:
        settings, facts = self.settings, direction.facts
        for note in chosen.notes:
            tell(note, quiet=settings.quiet)
        out_of = (
            f" of {facts['collection']}, by {facts['table']} ({facts['kind']})" if "table" in facts else ""
        )
        tell(
            f"sets: {len(chosen.target)} pictures with the change and {len(chosen.source)} without{out_of}; "
            f"the nearest by {chosen.by}",
            quiet=settings.quiet,
        )
        if settings.debug:
            for layer, (features, difference) in facts["lengths"].items():
                tell(
                    f"{layer}: |phi| {features:.1f}, |w| {difference:.1f}, {features / difference:.2f} times"
                )
        if settings.sets is not None:
            write(_sets_sheet(chosen), settings.sets, overwrite=settings.overwrite)
            tell(f"both sets are in {settings.sets}", quiet=settings.quiet)

    def _sheet(self, session: Session, picture: Picture, direction: Direction, output: str) -> int:
        """Edit at each of several strengths and write a contact sheet of the faces."""
        settings, frame = self.settings, Frame(direction.matrix, direction.side)
        cells = [("original", frame.cut(picture.pixels))]
        works = [
            (strength, self._work(session, picture, direction, strength=strength))
            for strength in settings.strengths or ()
        ]
        if not works:
            raise OptionError("strengths is empty; name some, such as 0.1,0.3,0.5")
        if settings.plan:
            print(f"{len(works)} times: {works[0][1].plan.sentence(works[0][1].plan.seconds())}", flush=True)
            return 0
        stopped, seconds = False, works[0][1].plan.seconds()
        with Interrupt(quiet=settings.quiet) as interrupt:
            for strength, work in works:
                with show_for(work.plan, seconds, quiet=settings.quiet) as show:
                    step = finished(work.steps(), show, interrupt)
                if step is None:
                    stopped = True
                    break
                cells.append((f"{strength:g}", frame.cut(step.picture[:, :3].cpu())))
        metadata = works[0][1].recipe.to_xmp() if not settings.no_recipe else None
        write(sheet([cells], cell=_CELL), output, metadata=metadata, overwrite=settings.overwrite)
        tell(
            f"{output}: the face as it is and at {len(cells) - 1} of {len(works)} strengths",
            quiet=settings.quiet,
        )
        return INTERRUPTED if stopped else 0


def _sets_sheet(chosen: Chosen) -> torch.Tensor:
    rows: list[Sequence[tuple[str, torch.Tensor]]] = []
    for name, some in (("with", chosen.target), ("without", chosen.source)):
        cells = [(name if not n else "", _small(source)) for n, source in enumerate(some)]
        rows += [cells[n : n + _ACROSS] for n in range(0, len(cells), _ACROSS)]
    return sheet(rows, cell=_SMALL, gap=4)


def _small(source: Source) -> torch.Tensor:
    try:
        return load_square(source, _SMALL)
    except PictureError:
        return torch.full((1, 3, _SMALL, _SMALL), 0.5)  # gone since: its place stays grey


def _list(settings: AttributeSettings) -> int:
    if settings.faces is None:
        raise OptionError("the attributes of a collection are listed; name it by --faces DIR")
    pictures = collection(
        Path(settings.faces), None if settings.attributes is None else Path(settings.attributes)
    )
    table = pictures.table
    tell(f"{table.name} ({table.kind}), {len(pictures.sources)} pictures", quiet=settings.quiet)
    for note in pictures.notes:
        tell(note, quiet=settings.quiet)
    width = max(len(name) for name in table.names)
    print(f"{'':{width}}  {'with':>6} {'without':>8}")
    for name in table.names:
        there, absent = pictures.has(name)
        print(f"{name:{width}}  {int(there.sum()):6} {int(absent.sum()):8}", flush=True)
    return 0


attribute = declare.command(
    _attribute,
    [declare.argument("photo", "The photograph of the face; - reads standard input", several=True)],
    CLASSES["attribute"],
)
