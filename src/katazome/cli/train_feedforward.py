"""The command ``katazome train feedforward``."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from katazome.cli import declare
from katazome.cli.drive import INTERRUPTED, Interrupt
from katazome.cli.show import tell
from katazome.cli.training import PictureSettings, digest, keep, model_path, tell_skipped, trained
from katazome.collections.folders import find
from katazome.device import keep_heap
from katazome.errors import OptionError, PictureError
from katazome.methods.layers import FLAT, Layer
from katazome.networks.vgg import Encoder
from katazome.objective.plan import duration
from katazome.options import option
from katazome.pictures.read import read
from katazome.processes import join, leads
from katazome.training.data import Squares, split
from katazome.training.steps.feedforward import FeedForwardLesson, FeedForwardOptions, made, seen_at

_MEASURED = 50
"""Pictures that are measured at the end, at most."""

_SHOWN = 5
"""Pictures on the sample sheet."""

_SIDES = {"cuda": 256}
_SIDE = 144


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedForwardSettings(PictureSettings):
    """A network for one style, to be trained."""

    style: str = option("", help="Picture whose look is learnt")
    style_terms: str = option(
        "not stated",
        help="On what terms the style picture is to be had; written into the model",
        group="Output",
    )


def _feedforward(**given: object) -> int:
    settings = FeedForwardSettings.from_json(declare.values_of(FeedForwardSettings, given))
    options = FeedForwardOptions.from_json(declare.values_of(FeedForwardOptions, given))
    path = model_path(settings.output, overwrite=settings.overwrite)
    if not settings.style:
        raise OptionError("no style picture was named; give one by --style PAINTING")
    folders = settings.folders()
    device = join(settings.device)
    options = replace(options, side=options.side or _SIDES.get(device.type, _SIDE))
    style = read(settings.style, longest=2 * options.style_size)
    pixels = seen_at(Layer.of(style, device).pixels, options.style_size)
    if float(pixels.flatten(2).std(2).square().mean().sqrt()) < FLAT:
        raise PictureError(f"the style '{style.name}' is one flat colour; there is no look in it to take")
    learn, asked = split(find(folders))
    keep_heap()
    quiet = settings.quiet or not leads()
    began = time.perf_counter()
    with Interrupt(quiet=quiet, keeping="this step, then keeping what was learnt") as interrupt:
        encoder = Encoder(settings.network(), device=device)
        squares, held = Squares(learn, options.side), Squares(asked, options.side)
        shown = Squares(asked, 2 * options.side).middles(_SHOWN)
        lesson = FeedForwardLesson(encoder, pixels, squares, options, shown)
        header = {
            "options": options.to_json(),
            "network": encoder.weights.sha256,
            "style": style.sha256,
            "pictures": digest(learn),
        }
        seconds = trained(lesson, options, path, header, interrupt, settings)
        if seconds is None:
            return INTERRUPTED
    if not leads():
        return 0
    losses = lesson.measure(held.middles(_MEASURED))
    tell_skipped({**squares.skipped, **held.skipped}, quiet=quiet)
    facts = {
        "what": f"Network for one style, {style.name}",
        "style": {"name": style.name, "sha256": style.sha256, "terms": settings.style_terms},
        **settings.said((*learn, *asked), seconds, losses),
    }
    keep(made(lesson, encoder, options, facts), path)
    tell(
        f"{path}: the style of {style.name} from {len(learn)} pictures, after "
        f"{duration(time.perf_counter() - began)}; on pictures held out the content is off by "
        f"{losses['content']:.2f}, the style by {losses['style']:.2f} (mean squared differences of features "
        "and of Gram matrices)",
        quiet=quiet,
    )
    return 0


feedforward = declare.command(_feedforward, [], {"": FeedForwardSettings, "feedforward": FeedForwardOptions})
