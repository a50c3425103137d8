"""Feed-forward: a network that has learnt one style paints it in one pass; there is no style picture.

Source: Johnson, Alahi & Fei-Fei, "Perceptual losses for real-time style transfer and super-resolution", ECCV
2016; the network and its departures stand in :mod:`katazome.networks.feedforward`, what it learns by in
:mod:`katazome.training.steps.feedforward`. There is no strength: how much style was decided when it learnt.
Strokes have the size (px) that they had then, whatever the size of the picture.

``color``: ``luma`` takes the brightness of what the network makes of the photograph in colours, since it has
learnt no other; ``content`` gives the result the mean and covariance of the photograph's colours, which for
other methods the style takes beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from katazome.descent.loop import Checkpoint, Step, in_one_pass
from katazome.device import supports_bfloat16
from katazome.errors import OptionError
from katazome.methods.base import Engine, Inputs, Task, register
from katazome.methods.layers import Layer
from katazome.methods.options import ChangingOptions
from katazome.methods.scene import Canvas
from katazome.networks.feedforward import SHELF, FeedForward, FeedForwardWeights
from katazome.objective.passes import NetworkPlan
from katazome.objective.plan import Leg
from katazome.pictures.colour import match_colour
from katazome.pictures.resize import resize


@register(
    "feedforward",
    summary="A style that a network has learnt, in one pass",
    options=ChangingOptions,
    styled=False,
    learnt=SHELF,
)
def feedforward(inputs: Inputs, options: ChangingOptions, engine: Engine) -> Task:
    """Give a photograph the style that a network has learnt."""
    if inputs.network is None:
        raise OptionError("feedforward paints by a network that has learnt a style; give its file as model")
    return Painting(inputs, options, engine)


@dataclass(frozen=True)
class Painting(Canvas):
    """A picture made by a network; a :class:`katazome.methods.base.Task`."""

    options: ChangingOptions

    @cached_property
    def network(self) -> FeedForward:
        """The network, ready for the device and the precision."""
        assert isinstance(self.inputs.network, FeedForwardWeights)
        device = self.engine.device
        exact = self.options.precision == "float32"
        fast = self.options.precision == "bfloat16" or (not exact and supports_bfloat16(device))
        return FeedForward(self.inputs.network, device, torch.bfloat16 if fast else torch.float32)

    @property
    def networks(self) -> list[tuple[str, str]]:
        """See :class:`katazome.methods.base.Task`."""
        weights = self.network.weights
        return [(weights.name, weights.sha256)]

    @cached_property
    def plan(self) -> NetworkPlan:
        """What is going to happen; what is wrong with a size or a region is said here."""
        height, width = self.size
        self.network.check(height, width)
        _ = self.region
        return NetworkPlan(self.network, (Leg(height, width, self.network.dtype, 1),))

    def steps(self, resume: Checkpoint | None = None) -> Iterator[Step]:
        """Make the picture and yield it; it is one step."""
        return in_one_pass(self.parts, 1, self.finish, resume)

    def parts(self) -> Iterator[Tensor]:
        """Yield the picture (1, 3, H, W), in the network's own colours."""
        yield self.network(self._content.at(self.size).pixels)

    def finish(self, picture: Tensor) -> Tensor:
        """Make the final picture; see :meth:`Canvas.finish`."""
        if self.colour == "content":
            size = (picture.shape[2], picture.shape[3])
            content = self._content.within(self.region).at(size)
            own = None if self.region is None else resize(self.region, size)
            picture = match_colour(
                picture, content.pixels, source_weight=own, target_weight=content.weight
            ).clamp(0, 1)
        return super().finish(picture)

    @cached_property
    def _content(self) -> Layer:
        assert self.inputs.content is not None
        return Layer.of(self.inputs.content, self.engine.device)
