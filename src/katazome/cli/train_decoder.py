"""The command ``katazome train decoder``."""

from __future__ import annotations

import time

from katazome.cli import declare
from katazome.cli.drive import INTERRUPTED, Interrupt
from katazome.cli.show import tell
from katazome.cli.training import PictureSettings, digest, keep, model_path, tell_skipped, trained
from katazome.collections.folders import find
from katazome.device import keep_heap
from katazome.networks.vgg import Encoder
from katazome.objective.plan import duration
from katazome.processes import join, leads
from katazome.training.data import Squares, split
from katazome.training.steps.decoder import DecoderLesson, DecoderOptions, made

_MEASURED = 100
"""Pictures that are measured at the end, at most."""


def _decoder(**given: object) -> int:
    settings = PictureSettings.from_json(declare.values_of(PictureSettings, given))
    options = DecoderOptions.from_json(declare.values_of(DecoderOptions, given))
    path = model_path(settings.output, overwrite=settings.overwrite)
    folders = settings.folders()
    device = join(settings.device)
    learn, asked = split(find(folders))
    keep_heap()
    quiet = settings.quiet or not leads()
    began = time.perf_counter()
    with Interrupt(quiet=quiet, keeping="this step, then keeping what was learnt") as interrupt:
        encoder = Encoder(settings.network(), device=device)
        squares, held = Squares(learn, options.side), Squares(asked, options.side)
        lesson = DecoderLesson(encoder, squares, options, held)
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
    losses = lesson.measure(held.middles(_MEASURED))
    tell_skipped({**squares.skipped, **held.skipped}, quiet=quiet)
    facts = settings.said((*learn, *asked), seconds, losses)
    keep(made(lesson, encoder, options, facts), path)
    tell(
        f"{path}: {options.layer} from {len(learn)} pictures, after {duration(time.perf_counter() - began)}; "
        f"on pictures held out the pixels are off by {losses['pixels']:.3f} (RMS of 0..1), "
        f"the features by {losses['features']:.0%}",
        quiet=quiet,
    )
    return 0


decoder = declare.command(_decoder, [], {"": PictureSettings, "decoder": DecoderOptions})
