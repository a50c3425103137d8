"""The command ``katazome material``."""

from __future__ import annotations

from typing import Any

from katazome.cli import declare
from katazome.cli.drive import INTERRUPTED, Interrupt
from katazome.cli.settings import MaterialSettings
from katazome.cli.stylize import CLASSES, make
from katazome.cli.training import counted
from katazome.device import keep_heap, resolve_device
from katazome.errors import OptionError
from katazome.looks import pictures_of, typical
from katazome.methods.base import get_method
from katazome.networks.vgg import Encoder


def _material(content: str, **given: Any) -> int:
    settings = MaterialSettings.from_json(declare.values_of(MaterialSettings, given))
    if not given.get("where"):
        if not settings.from_:
            raise OptionError("what is to change was not said; give --from MATERIAL, or --where REGION")
        given["where"] = f"material:'{settings.from_}'"
    elif settings.from_:
        raise OptionError("--from and --where both say what is to change; give one of them")
    looks = _looks(settings)
    if looks is None:
        return INTERRUPTED
    return make(get_method("material"), content, looks, settings, given)


def _looks(settings: MaterialSettings) -> list[str] | None:
    """Return the pictures of the look; None when their choice was interrupted."""
    if settings.look and settings.looks:
        raise OptionError("--look and --looks both say what the look is; give one of them")
    if settings.look:
        if settings.to:
            raise OptionError("--to names a class of --looks; with --look the file is the look")
        return [settings.look]
    if not settings.to or not settings.looks:
        raise OptionError("what it is to become was not said; give --to MATERIAL --looks DIR, or --look FILE")
    sources = pictures_of(settings.looks, settings.to)
    keep_heap()
    encoder = Encoder(settings.network(), device=resolve_device(settings.device))
    with Interrupt(quiet=settings.quiet, keeping="this picture") as interrupt:
        found = counted(
            typical(encoder, sources, settings.blended), "looks seen", interrupt, quiet=settings.quiet
        )
    return None if found is None else [str(path) for path in found]


material = declare.command(
    _material, [declare.argument("content", "The picture; - reads standard input")], CLASSES["material"]
)
