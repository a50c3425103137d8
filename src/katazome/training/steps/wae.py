"""Learning the autoencoder of style and content codes.

Both codes come from the same picture, and the decoder gives that picture back (``pixels``); codes are to be
spread as a normal prior (``content mmd``, ``style mmd``). Three regimes:

- ``faithful``: nothing more, as on the slides of the fourth source document. Pixels are in [-1, 1] and their
  squared error a mean, so Tolstikhin's balance at 64 px, 0.05 times the sum over pixels against 100 times the
  discrepancy, is 1 to 100 / 614.4 here.
- ``feature``: the picture is also to be the same to VGG-19 (``features``).
- ``swap`` goes beyond the source: content codes are decoded with the style codes of other pictures too, and
  the result is to have that picture's look (``swapped style``: its Gram matrices as the style code's encoder
  sees them) and this one's content (``swapped content``: the deepest features with each channel at mean 0 and
  deviation 1, as no look decides them).

A picture is seen through a fixed set of crops and mirrorings (:func:`views`), so that what VGG-19 says of its
look is computed once and cached.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from katazome.collections.cache import FeatureCache, Features, Progress
from katazome.collections.folders import Source, load_square
from katazome.device import supports_bfloat16
from katazome.errors import OptionError
from katazome.losses.divergence import mmd
from katazome.networks.vgg import Encoder
from katazome.networks.wae import STYLE_TAPS, WAE, matrices, normalised
from katazome.networks.wae_model import Facts, channels_of
from katazome.options import option
from katazome.training.distributed import average, gathered, part
from katazome.training.trainer import TrainingOptions

REGIMES = ("faithful", "feature", "swap")

VIEWS = 4
"""Squares that a picture is seen through."""

_CONTENT_TAP = STYLE_TAPS[-1]
_NOISE = 0.01
"""Deviation of what is added to the encoder's pixels ([0, 1]) while it learns, as Tolstikhin's program."""

_PLACES = 4
"""Positions of each spatial code that are held against the prior."""

_SHOWN = 12
_TOGETHER = 64
_KEPT_BYTES = 3 << 29
_EPSILON = 1e-5
_TOLSTIKHIN = 100 / 614.4


@dataclass(frozen=True, slots=True, kw_only=True)
class WAEOptions(TrainingOptions):
    """How an autoencoder of style and content is trained."""

    spatial: bool = option(
        False, help="Make the content code a small map, for pictures of any size", group="Look"
    )
    content_size: int | None = option(
        None,
        help="Numbers in the content code: 128 of a vector, 8 for each position of a map",
        low=1,
        high=4096,
        group="Look",
    )
    style_size: int = option(64, help="Numbers in the style code", low=1, high=1024, group="Look")
    resolution: int = option(
        64, help="Side of the pictures that it learns from", unit="px", low=32, high=512, group="Look"
    )
    regime: str = option(
        "faithful",
        help="What is asked of it: pixels alone (faithful), VGG-19's features too (feature), or pictures "
        "with another's style too (swap)",
        choices=REGIMES,
        group="Look",
    )
    content_mmd_weight: float = option(
        _TOLSTIKHIN, help="Weight of the content codes' discrepancy from the prior", low=0, group="Weights"
    )
    style_mmd_weight: float = option(
        _TOLSTIKHIN, help="Weight of the style codes' discrepancy from the prior", low=0, group="Weights"
    )
    feature_weight: float = option(
        0.1, help="Weight of VGG-19's features, relative, where the regime has them", low=0, group="Weights"
    )
    swapped_style_weight: float = option(
        0.2, help="Weight of the look of pictures with another's style code", low=0, group="Weights"
    )
    swapped_content_weight: float = option(
        0.1, help="Weight of the content of pictures with another's style code", low=0, group="Weights"
    )
    deep_every: int = option(
        4,
        help="Steps from one that also asks relu4_1 to the next: it costs more than all before it",
        low=1,
        group="Work",
    )
    steps: int = option(2000, help="Steps of training", low=1, group="Work")
    batch: int = option(100, help="Pictures in a step", low=4, group="Work")
    learning_rate: float = option(5e-4, help="Length of Adam's steps at the beginning", low=0, group="Work")

    def __post_init__(self) -> None:
        TrainingOptions.__post_init__(self)
        if self.resolution % 16:
            raise OptionError(f"resolution is {self.resolution}; it must be a multiple of 16, such as 64")

    @property
    def content_width(self) -> int:
        """Numbers in the content code."""
        return self.content_size or (8 if self.spatial else 128)


def views(square: Tensor, side: int) -> list[Tensor]:
    """Return the :data:`VIEWS` squares (B, 3, side, side) that pictures (B, 3, S, S) are seen through.

    The whole, the whole mirrored, the middle twice as large, a corner twice as large and mirrored: a picture
    that is used later may show its things at any scale.
    """
    whole = nn.functional.interpolate(square, (side, side), mode="bilinear", antialias=True)
    edge = (square.shape[2] - side) // 2
    middle = square[:, :, edge : edge + side, edge : edge + side]
    return [whole, whole.flip(3), middle, square[:, :, :side, :side].flip(3)]


def larger(side: int) -> int:
    """Return the side (px) of the square that views are cut out of."""
    return 2 * side


def descriptions(
    encoder: Encoder, net: WAE, side: int, sources: Sequence[Source], under: Path | None = None
) -> Generator[Progress, None, Features]:
    """Compute what the trunk says of each picture's look, or take it from the cache: rows (VIEWS, width)."""
    trunk = trunk_of(encoder)

    def compute(pixels: Tensor) -> Tensor:
        seen = [trunk(v.to(trunk.device), STYLE_TAPS) for v in views(pixels, side)]
        return torch.stack([net.describer(features) for features in seen], 1)

    key = {
        "network": encoder.weights.sha256,
        "what": "projected Gram matrices of a whole, its mirror, middle and corner",
        "view": side,
        "precision": str(trunk.settings.dtype),
    }
    return FeatureCache(key, larger(side), (VIEWS, net.describer.width), compute, under).fill(sources)


def trunk_of(encoder: Encoder) -> Encoder:
    """Return the network as the codes know it."""
    dtype = torch.bfloat16 if supports_bfloat16(encoder.device) else torch.float32
    return encoder.with_(pooling="max", padding=("reflect", "reflect"), dtype=dtype)


class Pairs:
    """Views of pictures with the descriptions of their looks; each folder is drawn from alike often."""

    def __init__(self, described: Features, side: int, workers: int = 2) -> None:
        self._described, self._side = described, side
        self._by_folder: dict[Path, list[int]] = {}
        for number, source in enumerate(described.sources):
            self._by_folder.setdefault(source.folder, []).append(number)
        self._kept: dict[int, Tensor] = {}
        self._room = _KEPT_BYTES
        self._pool = ThreadPoolExecutor(workers, "katazome-decode")

    def __len__(self) -> int:
        return len(self._described)

    def draw(self, count: int, draw: torch.Generator, part: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Return ``part`` of ``count`` pictures (count, 3, side, side) and descriptions (count, width)."""
        folders = list(self._by_folder.values())
        chances = torch.rand(count, 3, generator=draw).tolist()
        picked = [folders[int(a * len(folders))] for a, _, _ in chances]
        numbers = [rows[int(b * len(rows))] for rows, (_, b, _) in zip(picked, chances, strict=True)]
        return self._of(numbers[part], [int(c * VIEWS) for _, _, c in chances][part])

    def whole(self, most: int) -> tuple[Tensor, Tensor]:
        """Return at most so many pictures, whole, from all over, and their descriptions."""
        count = min(most, len(self))
        numbers = [n * len(self) // count for n in range(count)]
        return self._of(numbers, [0] * len(numbers))

    def spread(self) -> tuple[Tensor, Tensor]:
        """Return mean and deviation of the descriptions' numbers, each (width,), over all pictures."""
        rows = range(len(self))
        parts = [self._described.rows(rows[n : n + _TOGETHER]).flatten(0, 1) for n in rows[::_TOGETHER]]
        count = sum(len(p) for p in parts)
        mean = torch.stack([p.double().sum(0) for p in parts]).sum(0) / count
        square = torch.stack([(p.double() - mean).square().sum(0) for p in parts]).sum(0)
        return mean.float(), (square / count).sqrt().float()

    def _of(self, numbers: Sequence[int], chosen: Sequence[int]) -> tuple[Tensor, Tensor]:
        squares = self._pool.map(self._square, numbers)
        pixels = [
            views(square[None].float() / 255, self._side)[view][0]
            for square, view in zip(squares, chosen, strict=True)
        ]
        rows = self._described.rows(list(numbers))
        return torch.stack(pixels), rows[torch.arange(len(rows)), torch.tensor(chosen)]

    def _square(self, number: int) -> Tensor:
        """Return the picture (3, S, S), bytes."""
        kept = self._kept.get(number)
        if kept is not None:
            return kept
        pixels = load_square(self._described.sources[number], larger(self._side))
        made = (pixels[0] * 255).round().clamp(0, 255).to(torch.uint8)
        if made.numel() <= self._room:
            self._room -= made.numel()
            self._kept[number] = made
        return made


class WAELesson:
    """What the autoencoder learns; see :class:`katazome.training.trainer.Lesson`."""

    def __init__(self, encoder: Encoder, net: WAE, pairs: Pairs, options: WAEOptions) -> None:
        self._trunk, self._pairs, self._options = trunk_of(encoder), pairs, options
        net.style.standardise(*pairs.spread())
        self.module = net.to(encoder.device)

    def terms(self, step: int, draw: torch.Generator) -> dict[str, Tensor]:
        """See :class:`katazome.training.trainer.Lesson`."""
        asked, net, device = self._options, self.module, self._trunk.device
        net.train()
        mine = part(asked.batch)
        pixels, described = (t.to(device) for t in self._pairs.draw(asked.batch, draw, mine))
        shape = (asked.batch, *pixels.shape[1:])
        noise = torch.randn(shape, generator=draw)[mine].to(device) * _NOISE
        with self._fast():
            content, style = net.content_code(pixels + noise), net.style(described)
            made = net.decode(content, style).float()
            # Each picture takes the style of the next.
            swapped = _next(style, mine) if asked.regime == "swap" else None
            mixed = None if swapped is None else net.decode(content, swapped).float()
        terms = {
            "pixels": 4 * (made - pixels).square().mean(),
            "content mmd": asked.content_mmd_weight
            * _discrepancy(_as_draws(gathered(content.float()), draw), draw),
            "style mmd": asked.style_mmd_weight * _discrepancy(gathered(style.float()), draw),
        }
        if asked.regime == "faithful":
            return terms
        taps = STYLE_TAPS if step % asked.deep_every == 0 else STYLE_TAPS[:-1]
        with torch.no_grad():
            wanted = self._trunk(pixels, taps)
        # One pass of the trunk serves both kinds of pictures.
        seen = self._trunk(made if mixed is None else torch.cat([made, mixed]), taps)
        count = len(pixels)
        terms["features"] = asked.feature_weight * _unlike({n: f[:count] for n, f in seen.items()}, wanted)
        if mixed is not None:
            styled = {n: f[count:] for n, f in seen.items()}
            off_style = self._off_style(styled, _next(described, mine))
            off_content = _off_content(styled[taps[-1]], wanted[taps[-1]])
            terms["swapped style"] = asked.swapped_style_weight * off_style
            terms["swapped content"] = asked.swapped_content_weight * off_content
        return terms

    def _fast(self) -> torch.autocast:
        dtype = self._trunk.settings.dtype
        return torch.autocast(self._trunk.device.type, dtype, enabled=dtype == torch.bfloat16)

    def measure(self, pixels: Tensor, described: Tensor) -> dict[str, float]:
        """Return what the network makes of pictures (B, 3, side, side) that it did not learn from.

        ``pixels`` is the RMS error of reconstruction (of 0..1). Of pictures with the next one's style code:
        ``style`` and ``style before`` are the relative distances of the result's and of the picture's own
        look to the wanted one, ``content`` the result's to the picture, 0 the same and about 0.9 of
        strangers. ``content spread`` and ``style spread`` are the deviations of the codes' numbers, mean.
        """
        net = self.module
        net.eval()
        with torch.no_grad():
            pixels, described = pixels.to(self._trunk.device), described.to(self._trunk.device)
            content, style = net.content_code(pixels), net.style(described)
            made, mixed = net.decode(content, style), net.decode(content, style.roll(1, 0)).clamp(0, 1)
            own, seen = self._trunk(pixels, STYLE_TAPS), self._trunk(mixed, STYLE_TAPS)
            wanted = described.roll(1, 0)
            figures = {
                "pixels": (made.clamp(0, 1) - pixels).square().mean().sqrt(),
                "style": self._off_style(seen, wanted),
                "style before": self._off_style(own, wanted),
                "content": _off_content(seen[_CONTENT_TAP], own[_CONTENT_TAP]) / 2,
                "content spread": content.transpose(0, 1).flatten(1).std(1).mean(),
                "style spread": style.std(0).mean(),
            }
        return {name: round(float(value), 4) for name, value in figures.items()}

    def samples(self) -> Tensor:
        """Return a sheet (1, 3, H, W): pictures, what comes back, and each with the next one's style."""
        net, device = self.module, self._trunk.device
        pixels, described = (t.to(device) for t in self._pairs.whole(_SHOWN))
        content, style = net.content_code(pixels), net.style(described)
        made, mixed = (net.decode(content, code) for code in (style, style.roll(1, 0)))
        rows = [pixels, made, mixed, pixels.roll(1, 0)]
        lines = [torch.cat(list(row.clamp(0, 1)), 2) for row in rows]
        return torch.cat(lines, 1)[None].cpu()

    def _off_style(self, features: Mapping[str, Tensor], described: Tensor) -> Tensor:
        """Squared distance of projected Gram matrices, over the wanted one's square; mean over layers."""
        describer = self.module.describer
        found = describer.projected(features)
        wanted = matrices(described, describer.columns)
        distances = [
            (a - b).square().sum((1, 2)) / b.square().sum((1, 2)).clamp_min(_EPSILON)
            for a, b in zip(found, wanted, strict=False)
        ]
        # Of a look that is far off, the square would drown all others.
        return torch.stack([(d + _EPSILON).sqrt().mean() for d in distances]).mean()


def _next(rows: Tensor, mine: slice) -> Tensor:
    """Return of each of this process's rows the next one in the whole batch."""
    return gathered(rows).roll(1, 0)[mine]


def _as_draws(code: Tensor, draw: torch.Generator) -> Tensor:
    """Return a code's vectors (n, size): a map is taken at a few positions of each picture."""
    if code.ndim == 2:
        return code
    rows = code.flatten(2)
    places = torch.randint(rows.shape[2], (len(rows), _PLACES), generator=draw).to(code.device)
    picked = rows.gather(2, places[:, None].expand(-1, rows.shape[1], -1))
    return picked.transpose(1, 2).flatten(0, 1)


def _discrepancy(codes: Tensor, draw: torch.Generator) -> Tensor:
    prior = torch.randn(codes.shape, generator=draw).to(codes)
    return mmd(codes, prior)


def _unlike(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Tensor:
    """Mean over layers of the squared error of features over their own mean square."""
    errors = []
    for name in wanted:
        a, b = found[name].float(), wanted[name].float()
        scale = b.square().mean()
        average([scale])
        errors.append((a - b).square().mean() / scale.clamp_min(_EPSILON))
    return torch.stack(errors).mean()


def _off_content(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared difference of features whose channels have mean 0 and deviation 1; 2 of strangers."""
    return (normalised(found.float()) - normalised(wanted.float())).square().mean()


def fresh(encoder: Encoder, options: WAEOptions) -> tuple[WAE, Facts]:
    """Return a network that has learnt nothing yet, and what its file will say of its shape."""
    facts = Facts(
        spatial=options.spatial,
        content_size=options.content_width,
        style_size=options.style_size,
        side=options.resolution,
        channels=channels_of(encoder),
        trunk={"name": encoder.weights.name, "sha256": encoder.weights.sha256},
        options=options.to_json(),
    )
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        return facts.net(), facts
