"""Learning a decoder: from what VGG-19 sees at one layer back to the picture, on any photographs.

A step cuts squares out of pictures, encodes them, decodes that, and encodes the result again: pixels shall be
the same, and features too. Source: Li et al., "Universal style transfer via feature transforms", NIPS 2017,
eq. 1. Departures: both errors are relative, to what the pixels and the features vary by themselves, so that
one weight between them means the same at every layer; and the decoder does not begin at random but as the
least-squares inverse of the network, convolution by convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from katazome.device import generator
from katazome.networks.decoders import LAYERS, DecoderWeights, Facts, enlarges, mirrored
from katazome.networks.vgg import Encoder
from katazome.options import option
from katazome.pictures.sheet import sheet
from katazome.training.data import Squares
from katazome.training.distributed import gathered, part
from katazome.training.trainer import TrainingOptions

_FITTED = 96
"""Squares that the beginning is fitted on."""

_POSITIONS = 8
"""Positions for each number that is fitted, at most."""

_SHOWN = 8
"""Pictures on a sheet of samples, at most."""

_TOGETHER = 4096
_RIDGE = 1e-5
"""Added to the diagonal of the normal equations, over its mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderOptions(TrainingOptions):
    """How a decoder is trained."""

    level: int = option(3, help="Level: 1 for relu1_1 to 4 for relu4_1", low=1, high=4, group="Look")
    side: int = option(
        96, help="Side of the squares that are cut out", unit="px", low=32, high=1024, group="Look"
    )
    feature_weight: float = option(
        1.0, help="Weight of the features' relative error, against 1 for the pixels'", low=0, group="Weights"
    )
    steps: int = option(2000, help="Steps of training", low=1, group="Work")
    batch: int = option(8, help="Squares in a step", low=1, group="Work")

    @property
    def layer(self) -> str:
        """The tap that is decoded."""
        return LAYERS[self.level - 1]


class Mirror(nn.Module):
    """A decoder that can learn; the same chain as :class:`katazome.networks.decoders.Decoder`."""

    def __init__(self, encoder: Encoder, layer: str) -> None:
        super().__init__()
        self.names = mirrored(layer)
        pairs = [encoder.weights.convs[name][0].shape[:2] for name in self.names]
        self.convs = nn.ModuleDict(
            {name: nn.Conv2d(o, i, 3) for name, (o, i) in zip(self.names, pairs, strict=True)}
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return pictures (B, 3, H, W) of features (B, C, h, w), not clipped."""
        x = features
        for name in self.names:
            x = self.convs[name](_prepared(x, name))
            x = x if name == self.names[-1] else x.relu()
        return x

    def invert(self, encoder: Encoder, pixels: Tensor, draw: torch.Generator) -> None:
        """Begin as the least-squares inverse: each convolution gives back what the one it mirrors was given.

        ``pixels`` (B, 3, H, W) are pictures to fit it on. One after the other is fitted to what the ones
        before it make. From a random beginning the deep ones mostly learn nothing in a thousand steps.
        """
        wanted = {name: _before(name) for name in self.names}
        layers = [self.names[0].replace("conv", "relu"), *(t for t in wanted.values() if t is not None)]
        with torch.no_grad():
            known = {name: f.float() for name, f in encoder(pixels, layers).items()}
            x = known[layers[0]]
            for name in self.names:
                conv, before = self.convs[name], wanted[name]
                assert isinstance(conv, nn.Conv2d)
                x = _prepared(x, name)
                _fit(conv, x, pixels if before is None else known[before], draw)
                x = conv(x).relu()

    def weights(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Return what was learnt, by the convolutions' names."""
        state = self.state_dict()
        return {n: (state[f"convs.{n}.weight"], state[f"convs.{n}.bias"]) for n in self.names}


def _prepared(x: Tensor, name: str) -> Tensor:
    """Return what a mirrored convolution is given: enlarged where it must be, its border reflected."""
    x = F.interpolate(x, scale_factor=2, mode="nearest") if enlarges(name) else x
    return F.pad(x, (1, 1, 1, 1), mode="reflect")


def _before(name: str) -> str | None:
    """Return the tap that the encoder's convolution is given, None for the picture."""
    block, index = int(name[4]), int(name[-1])
    if index > 1:
        return f"relu{block}_{index - 1}"
    return f"pool{block - 1}" if block > 1 else None


def _fit(conv: nn.Conv2d, x: Tensor, target: Tensor, draw: torch.Generator) -> None:
    """Set a convolution to the ridge regression of ``target`` (B, O, H, W) on ``x``, padded."""
    batch, _, height, width = target.shape
    inputs = x.shape[1] * 9 + 1
    chosen = torch.randperm(batch * height * width, generator=draw)[: _POSITIONS * inputs].to(x.device)
    product = x.new_zeros((inputs, inputs + target.shape[1]))
    for places in torch.split(chosen, _TOGETHER):
        picture, rest = places // (height * width), places % (height * width)
        row, column = rest // width, rest % width
        patches = [x[picture, :, row + i, column + j] for i in range(3) for j in range(3)]
        given = torch.cat([*patches, x.new_ones(len(places), 1)], 1)
        product += given.t() @ torch.cat([given, target[picture, :, row, column]], 1)
    normal, right = torch.split(product.double(), [inputs, target.shape[1]], 1)
    normal.diagonal().add_(_RIDGE * float(normal.diagonal().mean()))
    found = torch.linalg.solve(normal, right).to(x)
    weight = found[:-1].view(3, 3, x.shape[1], -1).permute(3, 2, 0, 1)
    conv.weight.copy_(weight)
    assert conv.bias is not None
    conv.bias.copy_(found[-1])


class DecoderLesson:
    """A decoder that learns from squares; see :class:`katazome.training.trainer.Lesson`."""

    def __init__(
        self, encoder: Encoder, squares: Squares, options: DecoderOptions, held: Squares | None = None
    ) -> None:
        """Learn from ``squares``; samples are shown of ``held``, which are not learnt from."""
        self._encoder, self._squares, self._options, self._held = encoder, squares, options, held
        with torch.random.fork_rng():
            torch.manual_seed(options.seed)
            self.module = Mirror(encoder, options.layer).to(encoder.device)
        draw = generator(options.seed)
        self.module.invert(encoder, squares.draw(_FITTED, draw).to(encoder.device), draw)

    def terms(self, step: int, draw: torch.Generator) -> dict[str, Tensor]:  # noqa: ARG002
        """Relative squared errors of pixels and features."""
        batch = self._options.batch
        pixels = self._squares.draw(batch, draw, part(batch)).to(self._encoder.device)
        of_pixels, of_features = self._errors(pixels, lambda x: gathered(x).var())
        return {"pixels": of_pixels, "features": self._options.feature_weight * of_features}

    def samples(self) -> Tensor | None:
        """Pictures held out, and below each what is made of it."""
        squares = [] if self._held is None else self._held.middles(_SHOWN)
        if not squares:
            return None
        pixels = torch.stack(squares).to(self._encoder.device)
        made = self.module(self._encoder(pixels, [self._options.layer])[self._options.layer].float())
        rows = [[("", picture) for picture in some] for some in (pixels, made)]
        return sheet(rows, cell=self._options.side)

    def measure(self, squares: Sequence[Tensor]) -> dict[str, float]:
        """Return mean errors of squares (3, side, side): of ``pixels`` (RMS), of ``features`` (relative)."""
        rms, relative = [], []
        with torch.no_grad():
            for square in squares:
                pixels = square[None].to(self._encoder.device)
                of_pixels, of_features = self._errors(pixels, torch.var)
                rms.append(float((of_pixels * pixels.var()).sqrt()))
                relative.append(float(of_features.sqrt()))
        count = max(1, len(squares))
        return {"pixels": sum(rms) / count, "features": sum(relative) / count}

    def _errors(self, pixels: Tensor, variance: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        layer = self._options.layer
        with torch.no_grad():
            features = self._encoder(pixels, [layer])[layer].float()
        made = self.module(features)
        again = self._encoder(made, [layer])[layer].float()
        of_pixels = (made - pixels).square().mean() / variance(pixels).clamp_min(1e-3)
        return of_pixels, (again - features).square().mean() / variance(features).clamp_min(1e-3)


def made(
    lesson: DecoderLesson,
    encoder: Encoder,
    options: DecoderOptions,
    facts: Mapping[str, Any],
) -> DecoderWeights:
    """Return the decoder that was learnt, with what its file says of it."""
    trunk = {"name": encoder.weights.name, "sha256": encoder.weights.sha256}
    whole = Facts(layer=options.layer, trunk=trunk, options=options.to_json(), **facts)
    convs = {n: (w.cpu(), b.cpu()) for n, (w, b) in lesson.module.weights().items()}
    return DecoderWeights(name=f"decoder-{options.layer}", sha256="", facts=whole, convs=convs)
