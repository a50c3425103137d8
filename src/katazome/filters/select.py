"""Filters that answer to an object, chosen mechanically, and the file that names them.

Source: the first source document chose by eye the filters whose nine most exciting pictures all show
the object, and named doing so mechanically as future work. The rules:

* ``top9``: that criterion by labels, 9 of 9 or relaxed;
* ``auc``: how well a filter's maximum tells pictures of the object from others, as the area under the
  ROC curve: the share of pairs, one with the object and one without, in which it is the higher;
* ``overlap``: how much more of its energy falls inside the object's mask than its area would have;
* ``agreement``: ``auc`` where the classifier's probabilities stand for labels.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from katazome.errors import KatazomeError, OptionError, OutputError, nearest
from katazome.filters.labels import Labels
from katazome.filters.record import Rank
from katazome.filters.settings import Network
from katazome.networks.vgg import tap
from katazome.weights.flavours import VGGWeights

FORMAT = 1
TOP = 9
RULES = ("top9", "auc", "overlap", "agreement")
COUNTS = {"relu4_1": 6, "relu5_1": 16}
"""How many filters the first source document found by eye; other layers give as many as relu5_1."""

_TOGETHER = 64  # filters whose area is taken at once, which bounds the memory of long ranks


@dataclass(frozen=True, slots=True)
class Chosen:
    """A filter, and the score it was chosen by; None for one that was chosen by eye."""

    filter: int
    score: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Filters of a network that answer to an object."""

    network: Network
    rule: str
    """How they were chosen: one of RULES, or ``by eye``."""
    object: str
    layers: Mapping[str, tuple[Chosen, ...]]
    """By the layers' full names; best first."""

    def filters(self, layer: str) -> tuple[int, ...]:
        """Return the filters of a layer in rising order; none where none were chosen."""
        return tuple(sorted(c.filter for c in self.layers.get(tap(layer).name, ())))

    def check(self, weights: VGGWeights) -> None:
        """Raise :class:`OptionError` unless these are filters of the network in hand."""
        own = Network.of(weights)
        if own != self.network:
            raise OptionError(
                f"the selection's filters are of the network {self.network}, in use is {own}: their numbers "
                "mean something else there; rank and select with the network in use, or give --weights"
            )
        _in_range(self.chosen(), weights)

    def chosen(self) -> dict[str, tuple[int, ...]]:
        """Return the filters by layer, in rising order; layers of which none was chosen are left out."""
        return {layer: self.filters(layer) for layer, some in self.layers.items() if some}

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        layers = {name: [asdict(c) for c in chosen] for name, chosen in self.layers.items()}
        return {
            "format": FORMAT,
            "network": asdict(self.network),
            "rule": self.rule,
            "object": self.object,
            "layers": layers,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Selection:
        """Build from JSON values; :class:`OptionError` for values that are not a selection's."""
        try:
            if values["format"] != FORMAT:
                raise OptionError(f"the selection is of format {values['format']}, known is {FORMAT}")
            layers = {name: tuple(_chosen(one) for one in some) for name, some in values["layers"].items()}
            network = {k: str(values["network"][k]) for k in ("name", "flavour", "sha256")}
            found = cls(
                network=Network(**network),
                rule=str(values["rule"]),
                object=str(values["object"]),
                layers=layers,
            )
        except KeyError as error:
            raise OptionError(f"a selection has {error}, which is missing") from None
        except (TypeError, ValueError, AttributeError) as error:
            if isinstance(error, KatazomeError):
                raise
            raise OptionError(f"these are not the values of a selection ({error})") from None
        for name, chosen in layers.items():
            if tap(name).name != name or not name.startswith("relu"):
                raise OptionError(
                    f"the selection's layer '{name}' must be the full name of a ReLU, as relu5_1"
                )
            if len({c.filter for c in chosen}) < len(chosen):
                raise OptionError(f"the selection names a filter of {name} twice")
        if not any(layers.values()):
            raise OptionError("the selection is empty; choose at least one filter")
        return found

    @classmethod
    def read(cls, path: str | os.PathLike[str], weights: VGGWeights | None = None) -> Selection:
        """Read a selection's file; with ``weights``, checked against that network.

        Raises :class:`OptionError` naming the file.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise OptionError(f"the filters '{path}' cannot be read: {reason}") from error
        try:
            if not isinstance(values, dict):
                raise OptionError("it holds no JSON object")
            found = cls.from_json(values)
            if weights is not None:
                found.check(weights)
        except OptionError as error:
            raise OptionError(f"the filters '{path}': {error}") from error
        return found

    def write(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the file; :class:`OutputError` when it is there already or cannot be written."""
        target = check_file(path, overwrite=overwrite)
        beside = target.with_name(f".{target.name}.{os.getpid()}.part")
        text = json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n"
        try:
            beside.write_text(text, encoding="utf-8")
            beside.replace(target)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise OutputError(f"'{target}' cannot be written: {error.strerror or error}") from error


_WORD = re.compile(r"(r(?:elu)?\d_?\d):(\d+(?:,\d+)*)", re.IGNORECASE)


def chosen_of(text: str, weights: VGGWeights | None = None) -> dict[str, tuple[int, ...]]:
    """Return filters by layer, in rising order, from a selection's file or from words for them.

    The words are those of :func:`words_of`, ``relu4_1:17 relu5_1:3,140``; with ``weights``, the filters
    are checked against that network.

    Raises :class:`OptionError` for a file that cannot be read, and as :meth:`Selection.check`.
    """
    if not in_words(text):
        return Selection.read(text, weights).chosen()
    found: dict[str, set[int]] = {}
    for word in _WORD.finditer(text):
        found.setdefault(tap(word[1]).name, set()).update(int(n) for n in word[2].split(","))
    chosen = {layer: tuple(sorted(some)) for layer, some in found.items()}
    if weights is not None:
        _in_range(chosen, weights)
    return chosen


def in_words(text: str) -> bool:
    """Whether a text is words for filters, as :func:`words_of` makes them, and not the name of a file."""
    words = text.split()
    return bool(words) and all(_WORD.fullmatch(word) for word in words)


def words_of(chosen: Mapping[str, Sequence[int]]) -> str:
    """Return filters in words, as recipes hold them: ``relu4_1:17 relu5_1:3,140``."""
    return " ".join(f"{layer}:{','.join(map(str, some))}" for layer, some in chosen.items())


def _in_range(chosen: Mapping[str, Sequence[int]], weights: VGGWeights) -> None:
    for layer, some in chosen.items():
        count = weights.convs[layer.replace("relu", "conv")][0].shape[0]
        for one in some:
            if one >= count:
                raise OptionError(f"{layer} has filters 0..{count - 1}, the selection names {one}")


def check_file(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Raise now what :meth:`Selection.write` would raise after the work; return the path."""
    target = Path(path)
    if target.exists() and (target.is_dir() or not overwrite):
        raise OutputError(f"'{target}' is there already; choose another name, or --overwrite to replace it")
    if not target.parent.is_dir():
        raise OutputError(
            f"there is no folder '{target.parent}' to write '{target.name}' into; make it first"
        )
    return target


def _chosen(one: Mapping[str, Any]) -> Chosen:
    number, score = one["filter"], one.get("score")
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise OptionError(f"a filter of the selection is {number!r}; it must be a whole number from 0")
    return Chosen(number, None if score is None else float(score))


def select(
    rank: Rank,
    labels: Labels | None,
    *,
    rule: str = "auc",
    least: int = TOP,
    counts: Sequence[int] = (),
    name: str = "",
) -> Selection:
    """Choose filters of every ranked layer.

    Args:
        rank: what excited each filter.
        labels: which pictures show the object; the rule ``overlap`` needs none.
        rule: one of RULES.
        least: for ``top9``: of the nine most exciting pictures, how many must show the object.
        counts: for the others: how many filters at most of each ranked layer, in order, or one number
            for all; none for COUNTS.
        name: the object's name where there are no labels.

    Raises:
        OptionError: nothing is good enough, which names the best there is; or too few pictures.
    """
    if rule not in RULES:
        raise OptionError(f"rule is '{rule}'{nearest(rule, RULES)} (one of: {', '.join(RULES)})")
    if not 1 <= least <= TOP:
        raise OptionError(f"least is {least}; it must be 1..{TOP}")
    if rule == "overlap":
        score = _overlap_scores(rank)
    elif labels is None:
        raise OptionError(f"the rule {rule} needs labels; say by --labels which pictures show the object")
    elif rule == "top9":
        score = _top_scores(rank, labels, least)
    else:
        score = _auc_scores(rank, labels)
    atleast = {"top9": float(least), "overlap": 0.0}.get(rule, 0.5)
    limits = _limits(rank, counts, rule)
    layers: dict[str, tuple[Chosen, ...]] = {}
    best: list[str] = []
    for layer in rank.options.names:
        scores = score(layer)
        order = scores.sort(descending=True, stable=True).indices.tolist()
        good = [i for i in order if scores[i] >= atleast and (rule == "top9" or scores[i] > atleast)]
        layers[layer] = tuple(Chosen(i, round(float(scores[i]), 6)) for i in good[: limits[layer]])
        best.append(f"{layer} {float(scores[order[0]]):.3g} (filter {order[0]})")
    named = name if labels is None else labels.thing.name
    if not any(layers.values()):
        relax = "; take a lower --least, or --rule auc" if rule == "top9" else "; rank more pictures"
        raise OptionError(
            f"no filter answers to '{named}' by the rule {rule}; the best scores are {', '.join(best)}{relax}"
        )
    return Selection(network=rank.network, rule=rule, object=named, layers=layers)


def _limits(rank: Rank, counts: Sequence[int], rule: str) -> dict[str, int]:
    layers = rank.options.names
    if not counts:
        return {n: 10**9 if rule == "top9" else COUNTS.get(n, COUNTS["relu5_1"]) for n in layers}
    if any(count < 0 for count in counts):
        raise OptionError(f"count is {min(counts)}; it must be at least 0")
    if len(counts) == 1:
        counts = [counts[0]] * len(layers)
    if len(counts) != len(layers):
        raise OptionError(
            f"count has {len(counts)} numbers for {len(layers)} ranked layers ({', '.join(layers)}); "
            "give one for each, or one for all"
        )
    return dict(zip(layers, counts, strict=True))


def _top_scores(rank: Rank, labels: Labels, least: int) -> Callable[[str], Tensor]:
    if len(labels.shows) < TOP or labels.count < least:
        raise OptionError(
            f"{labels.count} of {len(labels.shows)} ranked pictures show '{labels.thing.name}': too few for "
            f"{least} of the {TOP} most exciting ones; rank more, or take --rule auc"
        )
    return lambda layer: top_hits(rank, labels.shows, layer)


def top_hits(rank: Rank, shows: Tensor, layer: str) -> Tensor:
    """Return (C,): how many of each filter's nine most exciting pictures show the object.

    A picture on which a filter is silent excites it not at all, and counts for nothing.
    """
    top = rank.top(layer, TOP)
    return ((shows[top.pictures] > 0.5) & (top.values > 0)).sum(1).double()


def _auc_scores(rank: Rank, labels: Labels) -> Callable[[str], Tensor]:
    return lambda layer: auc(rank.maxima(layer), labels.shows)


def auc(values: Tensor, shows: Tensor) -> Tensor:
    """Return (C,) float64: the area under the ROC curve of each column of ``values`` (N, C), ties half.

    ``shows`` (N,) in [0, 1] says how probably a picture shows the object: of two pictures, the first
    with the object and the second without, how probably the first has the higher value. With zeros
    and ones this is the plain area.
    """
    return torch.cat([_areas(some, shows.double()) for some in torch.split(values, _TOGETHER, dim=1)])


def _areas(values: Tensor, shows: Tensor) -> Tensor:
    ordered, order = values.T.contiguous().sort(dim=1)
    wanted = shows[order]
    others = torch.nn.functional.pad((1 - wanted).cumsum(1), (1, 0))  # [:, n]: of the n lowest
    below = others.gather(1, torch.searchsorted(ordered, ordered))
    upto = others.gather(1, torch.searchsorted(ordered, ordered, right=True))
    itself = (shows * (1 - shows)).sum()  # a picture is no pair with itself
    pairs = shows.sum() * (1 - shows).sum() - itself
    return ((wanted * (below + upto) / 2).sum(1) - itself / 2) / pairs


def _overlap_scores(rank: Rank) -> Callable[[str], Tensor]:
    if not rank.masked:
        raise OptionError("the rule overlap needs masks; rank again with --masks DIR")
    share = rank.mask_share()
    if not bool(((share > 0) & (share < 1)).any()):
        raise OptionError("every mask is empty or full, which tells the rule overlap nothing; check them")
    return lambda layer: rank.overlap(layer).double().nanmean(0)
