"""The command ``katazome material``."""

from __future__ import annotations

from typing import Any

from katazome.cli import declare
from katazome.cli.drive import INTERRUPTED, Interrupt
from katazome.cli.settings import MaterialSettings
from katazome.cli.show import counted, tell
from katazome.cli.stylize import CLASSES, check_output, make
from katazome.device import keep_heap, resolve_device
from katazome.looks import check_place, look_of
from katazome.methods.base import get_method
from katazome.networks.vgg import Encoder


def _material(content: str, **given: Any) -> int:
    settings = MaterialSettings.from_json(declare.values_of(MaterialSettings, given))
    check_place(given.get("from_") or "", given.get("where"))
    if settings.output is not None and not settings.plan:
        check_output(settings.output, settings)  # to choose a look may take minutes

    def encoder() -> Encoder:
        keep_heap()
        return Encoder(settings.network(), device=resolve_device(settings.device))

    with Interrupt(quiet=settings.quiet, keeping="the choice of a look") as interrupt:
        work = look_of(
            encoder,
            to=given.get("to") or "",
            looks=settings.looks,
            look=settings.look or None,
            blended=settings.blended,
        )
        found = counted(work, "looks seen", interrupt, quiet=settings.quiet)
    if found is None:
        tell("interrupted; what was seen is kept. To go on: the same command again", quiet=settings.quiet)
        return INTERRUPTED
    return make(get_method("material"), content, [str(path) for path in found], settings, given)


material = declare.command(
    _material, [declare.argument("content", "The picture; - reads standard input")], CLASSES["material"]
)
