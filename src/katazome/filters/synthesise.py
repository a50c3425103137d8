"""Activation maximisation: a picture that excites one filter, grown from noise.

Source: the other half of the Deep Visualization Toolbox [Yosinski et al. 2015]: gradient ascent from the
mean with noise, decay, and a Gaussian blur every fourth step, without which the picture is all grain.
Departures: pixels are sRGB in [0, 1] and stay there; the decay is towards mid-grey; a step has a fixed
size (its root mean square over the pixels), whatever the scale of the network's activations; what is
raised is the mean over the whole map before the ReLU, where even a silent filter has a gradient.

Constants were chosen by looking at relu4_1 and relu5_1 of the normalised network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from katazome.device import generator
from katazome.errors import OptionError
from katazome.networks.vgg import Encoder, tap
from katazome.options import Options, option
from katazome.pictures.mask import feathered

_MEAN, _NOISE = 0.5, 0.04
_BLUR_EVERY = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisOptions(Options):
    """How a filter's picture is grown."""

    side: int = option(224, help="Side of the picture", unit="px", low=64, high=2048)
    iterations: int = option(100, help="Steps of the ascent", low=1, group="Work")
    rate: float = option(0.03, help="Root mean square of a step, of 1 from black to white", low=1e-4, high=1)
    decay: float = option(0.01, help="Share of the contrast lost at every step", low=0, high=0.5)
    blur: float = option(1.0, help="Gaussian blur every fourth step", unit="px", low=0, high=10)
    seed: int = option(0, help="Seed of the noise", low=0, high=2**63 - 1, group="Work")


@dataclass(frozen=True, eq=False, slots=True)
class Grown:
    """A step: how excited the filter was before it, and the picture after it."""

    index: int
    count: int
    value: float
    """Mean over the filter's map, before the ReLU."""
    picture: Tensor
    """(1, 3, side, side) in [0, 1]."""


def synthesise(
    encoder: Encoder, layer: str, number: int, options: SynthesisOptions | None = None
) -> Iterator[Grown]:
    """Grow a picture that excites filter ``number`` of ``layer``; yields after each step.

    Raises :class:`OptionError` for a filter the layer has not, or a side too small for it.
    """
    chosen = options or SynthesisOptions()
    name = tap(layer).name.replace("relu", "conv")
    if not 0 <= number < encoder.channels(name):
        raise OptionError(
            f"filter is {number}; {tap(layer).name} has the filters 0..{encoder.channels(name) - 1}"
        )
    noise = torch.randn(1, 3, chosen.side, chosen.side, generator=generator(chosen.seed))
    picture = (_MEAN + _NOISE * noise).clamp(0, 1).to(encoder.device)
    for index in range(chosen.iterations):
        value, gradient = _ascent(encoder, name, number, picture)
        step = gradient * (chosen.rate / gradient.square().mean().sqrt().clamp_min(1e-30))
        picture = _MEAN + (picture - _MEAN) * (1 - chosen.decay) + step
        picture = picture.clamp(0, 1)
        if index % _BLUR_EVERY == _BLUR_EVERY - 1 and index + 1 < chosen.iterations:
            picture = feathered(picture.movedim(0, 1), chosen.blur).movedim(0, 1)
        yield Grown(index, chosen.iterations, value, picture)


def _ascent(encoder: Encoder, name: str, number: int, picture: Tensor) -> tuple[float, Tensor]:
    free = picture.detach().requires_grad_()
    value = encoder(free, [name])[name][:, number].float().mean()
    (gradient,) = torch.autograd.grad(value, free)
    return float(value.detach()), gradient
