"""The command ``katazome train wae``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from katazome.cli import declare
from katazome.cli.drive import INTERRUPTED, Interrupt
from katazome.cli.show import counted, tell
from katazome.cli.training import (
    PictureSettings,
    digest,
    keep,
    model_path,
    tell_skipped,
    trained,
)
from katazome.collections.cache import Features
from katazome.collections.folders import Source, find
from katazome.device import keep_heap
from katazome.errors import PictureError
from katazome.networks.vgg import Encoder
from katazome.networks.wae import WAE
from katazome.networks.wae_model import WAEWeights
from katazome.objective.plan import duration
from katazome.options import option
from katazome.processes import join, leads
from katazome.training.data import few, split
from katazome.training.pairs import Pairs, descriptions
from katazome.training.steps.wae import WAELesson, WAEOptions, fresh

_MEASURED = 256
"""Pictures that are measured at the end, at most."""

_FEWEST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class WAESettings(PictureSettings):
    """An autoencoder to be trained."""

    most: int | None = option(
        None, help="Pictures of each folder that are taken at most, by chance; open: all", low=2
    )


def _wae(**given: object) -> int:
    settings = WAESettings.from_json(declare.values_of(WAESettings, given))
    options = WAEOptions.from_json(declare.values_of(WAEOptions, given))
    path = model_path(settings.output, overwrite=settings.overwrite)
    folders = settings.folders()
    device = join(settings.device)
    sources = few(find(folders), settings.most)
    learn, asked = split(sources, least=2)
    keep_heap()
    quiet, began = settings.quiet or not leads(), time.perf_counter()
    with Interrupt(quiet=quiet, keeping="this step, then keeping what was learnt") as interrupt:
        encoder = Encoder(settings.network(), device=device)
        net, facts = fresh(encoder, options)
        seen = _seen(encoder, net, options.resolution, sources, interrupt, quiet=quiet)
        if seen is None:
            return INTERRUPTED
        learnt, held = (Pairs(_of(seen, some), options.resolution) for some in (learn, asked))
        if len(learnt) < _FEWEST or len(held) < 2:
            raise PictureError(
                f"{len(learnt) + len(held)} of {len(sources)} pictures can be read; an autoencoder learns "
                f"from at least {_FEWEST}, and is measured on two others"
            )
        lesson = WAELesson(encoder, net, learnt, options)
        header = {
            "options": options.to_json(),
            "network": encoder.weights.sha256,
            "pictures": digest(learn),
        }
        seconds = trained(lesson, options, path, header, interrupt, settings)
        if seconds is None:
            return INTERRUPTED
    if not leads():
        return 0
    losses = lesson.measure(*held.whole(_MEASURED))
    kind = "spatial" if options.spatial else "vector"
    facts = replace(
        facts,
        what=f"Autoencoder of style and content, {kind}, regime {options.regime}",
        **settings.said(seen.sources, seconds, losses),
    )
    keep(WAEWeights(name=path.stem, sha256="", facts=facts, tensors=net.cpu().state_dict()), path)
    tell(
        f"{path}: {net.parameter_count() / 1e6:.1f} million parameters from {len(learnt)} pictures, after "
        f"{duration(time.perf_counter() - began)}; on pictures held out the pixels are off by "
        f"{255 * losses['pixels']:.0f} of 255, with another's style the look by {losses['style']:.2f} "
        f"({losses['style before']:.2f} before), the content by {losses['content']:.2f}",
        quiet=quiet,
    )
    return 0


def _seen(
    encoder: Encoder,
    net: WAE,
    side: int,
    sources: Sequence[Source],
    interrupt: Interrupt,
    *,
    quiet: bool,
) -> Features | None:
    """Return what the trunk says of each picture's look, or None when interrupted."""
    seen = counted(descriptions(encoder, net, side, sources), "pictures seen", interrupt, quiet=quiet)
    if seen is None:
        tell("interrupted; what was seen is kept. To go on: the same command again", quiet=quiet)
    else:
        tell_skipped(seen.skipped, quiet=quiet)
    return seen


def _of(seen: Features, sources: Sequence[Source]) -> Features:
    wanted = set(sources)
    return seen.only([n for n, source in enumerate(seen.sources) if source in wanted])


wae = declare.command(_wae, [], {"": WAESettings, "wae": WAEOptions})
