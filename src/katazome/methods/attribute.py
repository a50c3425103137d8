"""Attribute: a face smiles, ages, takes its glasses off, by the mean features of two sets of faces.

Sources: Upchurch et al., "Deep feature interpolation for image content changes", CVPR 2017, and the second
source document (dsanno's chainer-dfi). The features of the input, at relu3_1, relu4_1 and relu5_1 of the
normalised VGG-19, are moved along the difference of the two sets' means
(:mod:`katazome.statistics.direction`, which has the four conventions), and a picture is sought that has them.

Departures, each a switch where the source has another way:

* the descent begins at the picture itself (``init``; the source document: noise), on the shared loop with its
  preconditioner; pixels are kept within bounds by a smooth term instead of a box;
* only the difference to the input is carried back to the photograph, at its full size, under a soft map of
  the face (``carry``); the source document carries it over the whole crop;
* ``color_match`` and ``residual`` are the source document's repairs of what a start from noise leaves: the
  colours' statistics, and the error that the unedited features are reconstructed with. Both are off, as a
  start from the picture has neither (docs/attributes.md has the figures).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor

from katazome.descent.loop import descend
from katazome.descent.scales import Stage, stages
from katazome.device import generator
from katazome.errors import OptionError
from katazome.faces.align import Frame
from katazome.faces.blend import oval, window
from katazome.losses.base import Loss
from katazome.losses.content import Content
from katazome.losses.feature_target import UnitTarget
from katazome.losses.gamut import Gamut
from katazome.losses.smoothness import Smoothness
from katazome.methods.attribute_options import PRESETS, AttributeOptions
from katazome.methods.base import Descent, Engine, Inputs, Task, register
from katazome.methods.layers import Layer, map_in
from katazome.methods.walking import FINE_SHARE, HISTORY, dtypes_of, optimiser_of
from katazome.networks.vgg import Encoder
from katazome.objective.plan import Leg, foretell
from katazome.objective.whole import Objective, Octave, feature_maps
from katazome.pictures.composite import composite
from katazome.pictures.resize import shrink
from katazome.statistics.direction import Direction, norm, pushed

STRIDE, RATE = 0.25, 0.005
"""An edit moves less than a style: L-BFGS' steps are so much shorter at most, Adam's so long."""

RESIDUALS_EVERY = 20
"""Steps between the residuals that are kept of the unedited reconstruction, as in chainer-dfi."""


@register(
    "attribute",
    summary="A face smiles, ages, wears glasses: by two sets of faces, without training",
    options=AttributeOptions,
    presets=PRESETS,
    styled=False,
)
def attribute(inputs: Inputs, options: AttributeOptions, engine: Engine) -> Task:
    """Move a picture's features from one set of pictures towards another."""
    if inputs.content is None or inputs.direction is None:
        raise OptionError("attribute needs a picture and two sets of pictures; see katazome.attribute")
    edit = Edit(inputs, inputs.direction, options, engine)
    walk = edit.walk(options.iterations if options.far else 1)
    legs = [Leg(s.height, s.width, s.dtype, s.iterations) for s in walk * (2 if options.residual else 1)]
    plan = foretell(edit.encoder, options.taps, legs, octaves=1, tile=None, history=HISTORY)
    return Descent(
        edit, walk, partial(optimiser_of, options, HISTORY, moving=STRIDE, rate=RATE), edit.finish, plan
    )


@dataclass(frozen=True)
class Edit:
    """The problem, for :func:`katazome.descent.loop.descend`, and what becomes of its iterate."""

    inputs: Inputs
    direction: Direction
    options: AttributeOptions
    engine: Engine

    @cached_property
    def encoder(self) -> Encoder:
        """The network as the options want it, in float32."""
        options = self.options
        return self.engine.encoder.with_(pooling=options.pooling, padding=(options.padding,) * 2)

    @cached_property
    def original(self) -> Layer:
        """The photograph."""
        assert self.inputs.content is not None
        return Layer.of(self.inputs.content, self.engine.device)

    @cached_property
    def frame(self) -> Frame:
        """Where in the photograph the face is."""
        return Frame(self.direction.matrix, self.direction.side)

    @cached_property
    def square(self) -> Tensor:
        """The face in its frame, (1, 3, side, side)."""
        return self.frame.cut(self.original.pixels)

    def walk(self, iterations: int) -> list[Stage]:
        """Return the stages: one size, the last part in float32."""
        side, dtypes = self.direction.side, dtypes_of(self.options, self.engine.device)
        return stages([(side, side)], iterations, *dtypes, FINE_SHARE)

    def objective(self, stage: Stage) -> Objective:
        """See :class:`katazome.descent.loop.Problem`."""
        return self._objective(stage, self.options.far)

    def _objective(self, stage: Stage, strength: float) -> Objective:
        options, encoder = self.options, self.encoder.with_(dtype=stage.dtype)
        # In the stage's own precision, so that at strength 0 nothing is left to do.
        found = {n: f.float() for n, f in feature_maps(encoder, self.square, options.taps).items()}
        maps = {name: w.to(self.engine.device) for name, w in self.direction.maps.items()}
        targets = pushed(options.convention, strength, found, maps)
        loss: Loss
        if options.convention == "unit":
            # By the squared length of the features per number: the size that the others have.
            size = float(norm(found.values()).square()) / sum(f.numel() for f in found.values())
            loss = UnitTarget(targets, weight=size)
        else:
            loss = Content(targets, dict.fromkeys(targets, 1.0), name="target")
        on_pixels = (Smoothness(options.smoothness), Gamut(options.gamut_weight))
        return Objective(encoder, [Octave(0, (loss,))], shrink, on_pixels)

    def start(self, stage: Stage) -> Tensor:
        """See :class:`katazome.descent.loop.Problem`; without strength it is the picture."""
        if self.options.init == "content" or not self.options.far:
            return self.square.clone()
        shape = (1, 3, stage.height, stage.width)
        # The source document's noise, 10 grey levels about the mean colour that its network subtracts.
        noise = torch.rand(shape, generator=generator(self.options.seed)) - 0.5
        return (0.45 + noise * (20 / 255)).to(self.engine.device)

    def finish(self, picture: Tensor) -> Tensor:
        """Make the photograph of an iterate: the change, or the face, blended into it."""
        content, size = self.original, (self.original.pixels.shape[2], self.original.pixels.shape[3])
        difference = self.repaired(picture) - self.square
        if not self.options.far:
            made = content.pixels
        elif self.options.carry == "difference":
            made = (content.pixels + self.region * self.frame.lifted(difference, size)).clamp(0, 1)
        else:
            lifted = self.frame.lifted(self.square + difference, size)
            made = composite(lifted.clamp(0, 1), content.pixels, self.region)
        return made if content.weight is None else torch.cat([made, content.weight], dim=1)

    @cached_property
    def region(self) -> Tensor:
        """The map (1, 1, H, W) of what may change: the face, within what was asked for."""
        size = (self.original.pixels.shape[2], self.original.pixels.shape[3])
        side = self.direction.side
        own = oval(side) if self.direction.face else window(self.frame, size)
        found = self.frame.lifted(own, size).clamp(0, 1).to(self.engine.device)
        asked = [p.region for p in self.inputs.placements if p.region is not None]
        for region in asked:
            found = found * map_in(region).to(found)
        return found

    def repaired(self, picture: Tensor) -> Tensor:
        """Return an iterate (1, 3, side, side) with the repairs that were asked for."""
        matched = self._matched(picture)
        if not self.options.residual or not self.options.far:
            return matched
        difference = matched - self.square
        nearest = min(self.residuals, key=lambda r: float((r - difference).square().sum()))
        return matched - nearest

    def _matched(self, picture: Tensor) -> Tensor:
        if self.options.color_match == "none":
            return picture
        dims = (2, 3) if self.options.color_match == "channels" else (1, 2, 3)
        own, wanted = (
            (x.mean(dims, keepdim=True), x.std(dims, keepdim=True, correction=0))
            for x in (picture, self.square)
        )
        return (picture - own[0]) / (own[1] + 1e-8) * wanted[1] + wanted[0]

    @cached_property
    def residuals(self) -> Sequence[Tensor]:
        """What the reconstruction of the unedited features is off by, on its way: from the same start.

        Made when it is first needed, and anew after a resume.
        """
        options = self.options
        walk, problem = self.walk(options.iterations), _Unedited(self)
        make = partial(optimiser_of, options, HISTORY, moving=STRIDE, rate=RATE)
        steps = descend(problem, walk, make)
        kept = [s.picture for s in steps if s.last or (s.index and s.index % RESIDUALS_EVERY == 0)]
        return [self._matched(picture) - self.square for picture in kept]


@dataclass(frozen=True)
class _Unedited:
    """The same problem at strength 0."""

    edit: Edit

    def objective(self, stage: Stage) -> Objective:
        """See :class:`katazome.descent.loop.Problem`."""
        return self.edit._objective(stage, 0.0)

    def start(self, stage: Stage) -> Tensor:
        """See :class:`katazome.descent.loop.Problem`."""
        return self.edit.start(stage)
