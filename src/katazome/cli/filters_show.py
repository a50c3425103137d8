"""The command ``katazome filters show``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from katazome.cli import declare
from katazome.cli.drive import INTERRUPTED, Interrupt
from katazome.cli.filters_rank import open_ranks
from katazome.cli.settings import WithNetwork
from katazome.cli.show import Count
from katazome.device import keep_heap, resolve_device
from katazome.errors import OptionError
from katazome.filters.page import pages
from katazome.filters.record import Rank
from katazome.filters.settings import Network
from katazome.filters.show import check_filters, filter_sheet
from katazome.filters.synthesise import SynthesisOptions, synthesise
from katazome.networks.vgg import Encoder
from katazome.options import option
from katazome.pictures.write import check_target, write


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowSettings(WithNetwork):
    """What is shown of a rank, and where it goes."""

    output: str | None = option(None, help="File of the picture", group="Output")
    html: str | None = option(
        None, help="Folder of pages for a browser, with a tick for each filter", group="Output"
    )
    overwrite: bool = option(False, help="Replace files that are there already", group="Output")
    layer: str | None = option(None, help="Layer; open where only one was ranked", group="Look")
    filter: tuple[int, ...] = option(
        (), help="Numbers of filters, with commas; open: all of the layer", low=0, group="Look"
    )
    synthesise: bool = option(
        False,
        help="Grow a picture that excites one filter, instead of showing pictures that do; "
        "--side, --iterations, --rate, --decay, --blur and --seed are for this",
        group="Look",
    )


def _show(*ranks: str, **given: Any) -> int:
    settings = ShowSettings.from_json(declare.values_of(ShowSettings, given))
    options = SynthesisOptions.from_json(declare.values_of(SynthesisOptions, given))
    if settings.output is None and settings.html is None:
        raise OptionError("nothing to write was named; give -o SHEET.png, --html DIR, or both")
    keep_heap()
    rank = open_ranks(ranks, settings)
    if settings.html is not None:
        with Count("filters", quiet=settings.quiet) as count:
            for done, total in pages(rank, settings.html, overwrite=settings.overwrite):
                count(done, total)
            count.note(f"{settings.html}: open index.html in a browser")
    if settings.output is not None:
        check_target(settings.output, overwrite=settings.overwrite)
        layer = _layer(rank, settings)
        check_filters(rank, layer, settings.filter)
        if settings.synthesise:
            return _synthesised(rank, layer, settings, options)
        with Count("filters", quiet=settings.quiet) as count:
            picture = filter_sheet(rank, layer, settings.filter, progress=count)
            write(picture, settings.output, overwrite=settings.overwrite)
    return 0


def _layer(rank: Rank, settings: ShowSettings) -> str:
    if settings.layer is not None:
        return rank.layer(settings.layer)
    if len(rank.options.names) > 1:
        raise OptionError(f"no layer was named; give --layer, one of: {', '.join(rank.options.names)}")
    return rank.options.names[0]


def _synthesised(rank: Rank, layer: str, settings: ShowSettings, options: SynthesisOptions) -> int:
    if len(settings.filter) != 1:
        raise OptionError("one filter is grown at a time; name it by --filter N")
    device = resolve_device(settings.device)
    weights = settings.network()
    if Network.of(weights) != rank.network:
        raise OptionError(
            f"the rank is of the network {rank.network}, in use is {Network.of(weights)}; "
            "give --weights the file that it was made with"
        )
    encoder = Encoder(weights, device=device)
    assert settings.output is not None
    with (
        Interrupt(quiet=settings.quiet) as interrupt,
        Count("steps", quiet=settings.quiet) as count,
    ):
        picture: Tensor | None = None
        for step in synthesise(encoder, layer, settings.filter[0], options):
            picture = step.picture
            count(step.index + 1, step.count)
            if interrupt.asked:
                break
        assert picture is not None
        write(picture, settings.output, overwrite=settings.overwrite)
        if interrupt.asked:
            count.note(f"interrupted; the picture so far is in {settings.output}")
            return INTERRUPTED
        count.note(f"{settings.output}: filter {settings.filter[0]} of {layer}")
    return 0


show = declare.command(
    _show,
    [declare.argument("rank", "Folder of a rank; several count as one", several=True)],
    {"": ShowSettings, "synthesise": SynthesisOptions},
)
