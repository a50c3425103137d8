"""The command ``katazome filters select``."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import Any

import torch

from katazome.cli import declare
from katazome.cli.filters_rank import open_ranks
from katazome.cli.settings import Machine
from katazome.cli.show import Count
from katazome.device import keep_heap, resolve_device
from katazome.errors import OptionError
from katazome.filters.labels import Labels, Thing, classify, labels
from katazome.filters.record import Rank
from katazome.filters.select import RULES, TOP, Selection, check_file
from katazome.filters.select import select as choose
from katazome.networks.classifier import open_classifier
from katazome.networks.vocabulary import classes, meaning, suggestions
from katazome.options import option


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectSettings(Machine):
    """How filters are chosen."""

    object: str = option("", help="What the filters are to answer to, such as dog", group="Look")
    rule: str | None = option(
        None,
        help="Open: auc where there are labels, agreement where only the classifier can say",
        choices=RULES,
        group="Look",
    )
    labels: str = option(
        "auto",
        help="Which pictures show it: by their names (as ImageNet's), folders, masks, the classifier, "
        "or a .csv file of picture and label; auto takes what says something, the classifier last",
        group="Look",
    )
    least: int = option(
        TOP,
        help="For top9: so many of the nine most exciting pictures show it",
        low=1,
        high=TOP,
        group="Look",
    )
    count: tuple[int, ...] = option(
        (),
        help="For the other rules: at most so many filters of each ranked layer, as 6,16; "
        "open: 6 of relu4_1, 16 of any other",
        low=0,
        group="Look",
    )
    output: str | None = option(None, help="File of the selection; open: standard output", group="Output")
    overwrite: bool = option(False, help="Replace the file if it is there already", group="Output")


def _select(*ranks: str, **given: Any) -> int:
    settings = SelectSettings.from_json(declare.values_of(SelectSettings, given))
    if not settings.object:
        raise OptionError("what the filters are to answer to was not said; give --object, as --object dog")
    if settings.output is not None:
        check_file(settings.output, overwrite=settings.overwrite)
    rank = open_ranks(ranks, settings)
    thing = thing_called(settings.object)
    found: Labels | None = None
    rule = settings.rule
    if rule not in ("overlap", "agreement"):
        found = labels(rank, thing, settings.labels)
    if rule == "agreement" or (found is None and rule != "overlap"):
        found = _classified(rank, thing, settings)
        rule = rule or "agreement"
    chosen = choose(
        rank, found, rule=rule or "auc", least=settings.least, counts=settings.count, name=thing.name
    )
    if settings.output is None:
        print(json.dumps(chosen.to_json(), indent=1, ensure_ascii=False))
    else:
        chosen.write(settings.output, overwrite=settings.overwrite)
    if not settings.quiet:
        print(_told(chosen, found), file=sys.stderr)
    return 0


def _told(chosen: Selection, found: Labels | None) -> str:
    parts = [f"{len(some)} filters of {name}" for name, some in chosen.layers.items()]
    told = f"{chosen.object} by {chosen.rule}: {', '.join(parts)}"
    if found is None:
        return told
    return f"{told}; by {found.source} {found.count} of {len(found.shows)} pictures show it"


def _classified(rank: Rank, thing: Thing, settings: SelectSettings) -> Labels:
    """Ask the classifier about every picture."""
    keep_heap()
    classifier = open_classifier(resolve_device(settings.device))
    shows: list[torch.Tensor] = []
    workers = max(1, min(8, (os.cpu_count() or 2) - 1))
    with Count("pictures classified", quiet=settings.quiet) as count:
        for some in classify(rank, thing, classifier, workers=workers):
            shows.append(some)
            count(sum(len(s) for s in shows), len(rank.pictures))
    return Labels(thing, torch.cat(shows), "the classifier")


def thing_called(word: str) -> Thing:
    """Return what a word means: dog is all kinds of dog. An unknown word stands for itself."""
    meant = meaning(word)
    if meant is None:
        near = suggestions(word, 1)
        return Thing(word, hint=f"; did you mean '{near[0]}'?" if near else "")
    kinds = classes()
    return Thing(
        word,
        wnids=frozenset(kinds[index].wnid for index in meant.classes),
        classes=meant.classes,
        classes_of=lambda text: found.classes if (found := meaning(text)) else (),
    )


select = declare.command(
    _select,
    [declare.argument("rank", "Folder of a rank; several count as one", several=True)],
    {"": SelectSettings},
)
