"""Learning the autoencoder of style and content codes.

Both codes come from the same picture, and the decoder gives that picture back (``pixels``); codes are to be
spread as a normal prior (``content mmd``, ``style mmd``; ``kl`` instead makes it the variational baseline).
Three regimes:

- ``faithful``: nothing more, as on the slides of the fourth source document. Pixels are in [-1, 1] and their
  squared error a mean, so Tolstikhin's balance at 64 px, 0.05 times the sum over pixels against 100 times the
  discrepancy, is 1 to 100 / 614.4 here.
- ``feature``: the picture is also to be the same to VGG-19 (``features``).
- ``swap`` goes beyond the source: content codes are decoded with the style codes of other pictures too, and
  the result is to have that picture's look (``swapped style``: its Gram matrices as the style code's encoder
  sees them) and this one's content (``swapped content``: the deepest features with each channel at mean 0 and
  deviation 1, as no look decides them).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from katazome.errors import OptionError
from katazome.losses.divergence import mmd
from katazome.networks.vgg import Encoder
from katazome.networks.wae import STYLE_TAPS, WAE, matrices, normalised
from katazome.networks.wae_model import Facts, channels_of
from katazome.options import option
from katazome.training.distributed import average, gathered, part
from katazome.training.pairs import Pairs, trunk_of
from katazome.training.trainer import TrainingOptions

REGIMES = ("faithful", "feature", "swap")

_CONTENT_TAP = STYLE_TAPS[-1]
_NOISE = 0.01
"""Deviation of what is added to the encoder's pixels ([0, 1]) while it learns, as Tolstikhin's program."""

_PLACES = 4
"""Positions of each spatial code that are held against the prior."""

_SHOWN = 12
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
    prior: str = option(
        "mmd",
        help="How codes are held to a normal prior: a batch of them by its discrepancy (mmd), or each by "
        "itself (kl: a variational autoencoder, the baseline)",
        choices=("mmd", "kl"),
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
        if self.spatial and self.prior == "kl":
            raise OptionError("prior is kl, the baseline of vector codes; leave it, or spatial, out")

    @property
    def content_width(self) -> int:
        """Numbers in the content code."""
        return self.content_size or (8 if self.spatial else 128)


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
            content, style, held = self._codes(pixels + noise, described, draw)
            made = net.decode(content, style).float()
            # Each picture takes the style of the next.
            swapped = _next(style, mine) if asked.regime == "swap" else None
            mixed = None if swapped is None else net.decode(content, swapped).float()
        terms = {
            "pixels": 4 * (made - pixels).square().mean(),
            **held,
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

    def _codes(
        self, pixels: Tensor, described: Tensor, draw: torch.Generator
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return the codes of content and style, and what holds them to their prior, by name."""
        asked, net = self._options, self.module
        if asked.prior == "kl":
            mine = part(asked.batch)
            content, off = _drawn(net.content(pixels).float(), draw, asked.batch, mine)
            style, style_off = _drawn(net.style(described).float(), draw, asked.batch, mine)
            # Of a likelihood with deviation 1 in [-1, 1], per number of a picture as the pixels' error is.
            share = 2 / pixels[0].numel()
            return content, style, {"content kl": share * off, "style kl": share * style_off}
        content, style = net.content_code(pixels), net.style_code(described)
        off = _discrepancy(_as_draws(gathered(content.float()), draw), draw)
        style_off = _discrepancy(gathered(style.float()), draw)
        held = {
            "content mmd": asked.content_mmd_weight * off,
            "style mmd": asked.style_mmd_weight * style_off,
        }
        return content, style, held

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
            content, style = net.content_code(pixels), net.style_code(described)
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
        content, style = net.content_code(pixels), net.style_code(described)
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


def _drawn(
    numbers: Tensor, draw: torch.Generator, batch: int, mine: slice = slice(None)
) -> tuple[Tensor, Tensor]:
    """Return draws (B, size) of distributions (B, 2 size), and their mean divergence from the prior.

    They are ``mine`` of a ``batch``, shared by several processes.
    """
    mean, log_variance = numbers.chunk(2, 1)
    noise = torch.randn((batch, mean.shape[1]), generator=draw)[mine].to(mean)
    off = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
    return mean + noise * (log_variance / 2).exp(), off


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
        variational=options.prior == "kl",
        options=options.to_json(),
    )
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        return facts.net(), facts
