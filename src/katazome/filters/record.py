"""A rank: what excited each filter on which picture, and where; a folder that is read without the network.

``rank.json`` says of what: network, settings, pictures. Beside it lie shards, each the record of a range of
the pictures, in whatever order they came: for each layer and filter the one maximum after the ReLU and its
place. Everything else (the nine most exciting pictures, scores) follows from the maxima, so any number can be
asked for later, and two ranks are merged by reading one after the other.

A shard is written beside its place and renamed: a kill at any moment loses what was not yet in a shard.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from katazome.collections.folders import Source
from katazome.errors import KatazomeError, OptionError, OutputError, nearest
from katazome.filters.settings import Network, RankOptions, differing
from katazome.networks.vgg import tap
from katazome.weights.tensorfile import write_tensors

FORMAT = 1
HEADER = "rank.json"
_SHARD = "shard-{:09d}.safetensors"
"""Of the range that begins with this picture. Earlier ranks count their shards in five digits."""
_PICTURES, _MASK = "pictures", "mask"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A picture that could not be ranked, and why."""

    source: Source
    reason: str


@dataclass(frozen=True, eq=False, slots=True)
class Top:
    """The most exciting pictures of each of C filters, best first, of equals the earlier picture first."""

    values: Tensor
    """(C, k) float32."""
    pictures: Tensor
    """(C, k) int64: places in the rank's ``pictures``."""
    places: Tensor
    """(C, k, 2) int64: row and column in the layer's map."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A file of a rank, and how many pictures it records."""

    path: Path
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """A rank, whole or still growing, of one folder or merged from several. Reads its files when asked."""

    network: Network
    options: RankOptions
    pictures: tuple[Source, ...]
    """Those that were ranked, in order: the rows of everything recorded."""
    skipped: tuple[Skipped, ...]
    waiting: int
    """Pictures still to be ranked."""
    masked: bool
    """Whether masks were given."""
    shards: tuple[Shard, ...]

    @staticmethod
    def open(folder: str | os.PathLike[str]) -> Rank:
        """Read a rank's folder.

        Raises :class:`OptionError` when it is none, or not whole.
        """
        return Folder.open(Path(folder)).rank()

    def layer(self, name: str) -> str:
        """Return the full name of a layer; :class:`OptionError` when it was not ranked."""
        known = tap(name).name
        if known not in self.options.names:
            raise OptionError(
                f"the layer {known} was not ranked{nearest(known, self.options.names)} "
                f"(ranked: {', '.join(self.options.names)})"
            )
        return known

    def channels(self, layer: str) -> int:
        """Return the number of filters of a layer."""
        return self._column(self.layer(layer), "maxima", self.shards[:1])[0].shape[1]

    def maxima(self, layer: str) -> Tensor:
        """Return (pictures, C) float32: the maximum of each filter on each picture, 0 where silent."""
        return torch.cat(self._column(self.layer(layer), "maxima", self.shards))

    def overlap(self, layer: str) -> Tensor:
        """Return (pictures, C) float32, NaN for pictures without a mask.

        The share of the filter's energy (sum of squares) inside the mask, less the mask's share of the
        area: 0 for a filter that does not care where the object is, up to 1. The difference rather
        than the ratio: it is bounded, so that no single tiny mask outweighs a hundred others.
        """
        return torch.cat(self._column(self.layer(layer), "overlap", self.shards))

    def mask_share(self) -> Tensor:
        """Return (pictures,) float32: the share of the area inside the mask, NaN without one."""
        return torch.cat(
            [_read(s, [_MASK]).get(_MASK, torch.full((s.count,), torch.nan)) for s in self.shards]
        )

    def top(self, layer: str, k: int = 9) -> Top:
        """Return the ``k`` most exciting pictures of every filter of a layer, fewer where there are fewer.

        The shards are read one after the other; only the best so far are held.
        """
        name = self.layer(layer)
        best: Top | None = None
        first = 0
        columns = self.options.side // tap(name).stride
        for shard in self.shards:
            tensors = _read(shard, [f"{name}.maxima", f"{name}.places"])
            values, flat = tensors[f"{name}.maxima"].T, tensors[f"{name}.places"].T.long()
            rows = torch.arange(first, first + shard.count).expand(values.shape)
            new = Top(values, rows, torch.stack((flat // columns, flat % columns), dim=2))
            best = _best(new if best is None else _beside(best, new), k)
            first += shard.count
        if best is None:
            raise OptionError("nothing has been ranked yet; run `katazome filters rank` again")
        return best

    def _column(self, layer: str, kind: str, shards: Sequence[Shard]) -> list[Tensor]:
        if not shards:
            raise OptionError("nothing has been ranked yet; run `katazome filters rank` again")
        name = f"{layer}.{kind}"
        found = []
        for shard in shards:
            tensors = _read(shard, [name, f"{layer}.maxima"])
            # a part of a merged rank that had no masks
            found.append(tensors.get(name, torch.full_like(tensors[f"{layer}.maxima"], torch.nan)))
        return found


def _best(top: Top, k: int) -> Top:
    order = top.values.sort(dim=1, descending=True, stable=True).indices[:, :k]
    places = top.places.gather(1, order[:, :, None].expand(-1, -1, 2))
    return Top(top.values.gather(1, order), top.pictures.gather(1, order), places)


def _beside(first: Top, second: Top) -> Top:
    return Top(
        torch.cat((first.values, second.values), 1),
        torch.cat((first.pictures, second.pictures), 1),
        torch.cat((first.places, second.places), 1),
    )


def merge(ranks: Sequence[Rank]) -> Rank:
    """Return the rank of all pictures of several ranks, in the order given; nothing is copied.

    Ranks of consecutive parts of some pictures merge to exactly the rank of the whole.

    Raises :class:`OptionError` when they are of different networks or settings, or share a picture.
    """
    first, *others = ranks
    for other in others:
        if other.network != first.network:
            raise OptionError(
                f"the ranks are of different networks, {first.network} and {other.network}; rank with one"
            )
        if other.options != first.options:
            what = ", ".join(differing(first.options.to_json(), other.options.to_json()))
            raise OptionError(f"the ranks were made with different settings ({what}); rank with the same")
    pictures = tuple(p for rank in ranks for p in rank.pictures)
    twice = next((path for path, times in Counter(p.path for p in pictures).items() if times > 1), None)
    if twice is not None:
        raise OptionError(f"'{twice}' is in two of the ranks and would count twice; rank it once")
    return Rank(
        network=first.network,
        options=first.options,
        pictures=pictures,
        skipped=tuple(s for rank in ranks for s in rank.skipped),
        waiting=sum(rank.waiting for rank in ranks),
        masked=any(rank.masked for rank in ranks),
        shards=tuple(s for rank in ranks for s in rank.shards),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A rank's folder, as the ranking writes it."""

    path: Path
    network: Network
    options: RankOptions
    """With the layers' full names and the precision that was taken."""
    masks: Path | None
    pictures: tuple[Source, ...]
    """All that were asked for."""

    def create(self) -> None:
        """Write the header; :class:`OutputError` when that cannot be done."""
        folders = list(dict.fromkeys(p.folder for p in self.pictures))
        header = {
            "format": FORMAT,
            "network": asdict(self.network),
            "settings": self.options.to_json(),
            "masks": None if self.masks is None else str(self.masks),
            "folders": [str(folder) for folder in folders],
            "pictures": [[folders.index(p.folder), p.name] for p in self.pictures],
        }
        beside = self.path / f".{HEADER}.part"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            beside.write_text(json.dumps(header, indent=1) + "\n", encoding="utf-8")
            beside.replace(self.path / HEADER)
        except OSError as error:
            raise OutputError(f"the rank '{self.path}' cannot be written: {error.strerror}") from error

    @staticmethod
    def exists(path: Path) -> bool:
        """Whether a rank was begun there."""
        return (path / HEADER).is_file()

    @classmethod
    def open(cls, path: Path) -> Folder:
        """Read the header; :class:`OptionError` when there is none, or it is not a rank's."""
        if not cls.exists(path):
            raise OptionError(
                f"'{path}' is no rank (it has no {HEADER}); make one by `katazome filters rank`"
            )
        try:
            header = json.loads((path / HEADER).read_text(encoding="utf-8"))
            if header["format"] != FORMAT:
                raise OptionError(
                    f"the rank '{path}' is of format {header['format']}, known is {FORMAT}; "
                    "use the version of katazome that made it"
                )
            folders = [Path(folder) for folder in header["folders"]]
            return cls(
                path=path,
                network=Network(**header["network"]),
                options=RankOptions.from_json(header["settings"]),
                masks=None if header["masks"] is None else Path(header["masks"]),
                pictures=tuple(Source(folders[index], str(name)) for index, name in header["pictures"]),
            )
        except KatazomeError:
            raise
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise OptionError(f"'{path / HEADER}' is not a rank's header ({error}); rank again") from error

    def files(self) -> list[Path]:
        """Return the shards' files, in the order of their names."""
        return sorted(self.path.glob(_SHARD.replace("{:09d}", "*")))

    def missing(self) -> list[range]:
        """Return the ranges of pictures that no shard records, in order.

        Raises :class:`OptionError` where the shards are damaged, or record a picture twice.
        """
        ends = [0, *(end for told in self._told() for end in (told.part.start, told.part.stop))]
        ends.append(len(self.pictures))
        gaps = map(range, ends[::2], ends[1::2])
        return [gap for gap in gaps if gap]

    def rank(self) -> Rank:
        """Return what has been recorded so far."""
        ranked: list[Source] = []
        skipped: list[Skipped] = []
        shards: list[Shard] = []
        for told in self._told():
            ranked += [self.pictures[i] for i in told.own]
            skipped += [Skipped(self.pictures[i], reason) for i, reason in told.skipped]
            if told.own:
                shards.append(Shard(told.path, len(told.own)))
        return Rank(
            network=self.network,
            options=self.options,
            pictures=tuple(ranked),
            skipped=tuple(skipped),
            waiting=len(self.pictures) - len(ranked) - len(skipped),
            masked=self.masks is not None,
            shards=tuple(shards),
        )

    def _told(self) -> list[_Told]:
        """Return what the shards say of themselves, in the order of their pictures."""
        found = sorted(map(_Told.read, self.files()), key=lambda told: told.part.start)
        done = 0
        for told in found:
            if not done <= told.part.start <= told.part.stop <= len(self.pictures):
                raise OptionError(
                    f"the shard '{told.path}' has pictures that another one has too, or that are none of the "
                    "rank's; delete it and rank again"
                )
            done = told.part.stop
        return found

    def write(
        self,
        first: int,
        pictures: Sequence[int],
        tensors: Mapping[str, Tensor],
        skipped: Sequence[tuple[int, str]],
    ) -> None:
        """Write a shard.

        Args:
            first: where its range of the folder's list begins; it has all pictures from there on, as many as
                are recorded and skipped.
            pictures: places of the recorded ones in the folder's list.
            tensors: ``LAYER.maxima`` (n, C) float32, ``LAYER.places`` (n, C) int32 (row * columns +
                column) and, with masks, ``LAYER.overlap`` (n, C) and ``mask`` (n,).
            skipped: places and reasons of the others.

        Raises:
            OutputError: the disk is full, or the folder not writable.
        """
        path = self.path / _SHARD.format(first)
        whole = {_PICTURES: torch.tensor(pictures, dtype=torch.int64), **tensors}
        write_tensors(path, whole, {"first": first, "skipped": list(skipped)}, what="the shard")


@dataclass(frozen=True, slots=True)
class _Told:
    """What a shard says of itself."""

    path: Path
    part: range
    own: Sequence[int]
    skipped: Sequence[tuple[int, str]]

    @classmethod
    def read(cls, path: Path) -> _Told:
        try:
            with safe_open(path, framework="pt") as file:
                told = json.loads((file.metadata() or {})["katazome"])
                own = file.get_tensor(_PICTURES).tolist()
            first, skipped = int(told["first"]), list(told["skipped"])
            return cls(path, range(first, first + len(own) + len(skipped)), own, skipped)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise _damaged(path, error) from error


def _read(shard: Shard, names: Sequence[str]) -> dict[str, Tensor]:
    """Return those of the named tensors that a shard has."""
    try:
        with safe_open(shard.path, framework="pt") as file:
            there = set(file.keys())
            return {name: file.get_tensor(name) for name in names if name in there}
    except (OSError, SafetensorError) as error:
        raise _damaged(shard.path, error) from error


def _damaged(path: Path, error: Exception) -> OptionError:
    return OptionError(f"the shard '{path}' cannot be read ({error}); delete it and rank again")
