"""Filters: style through the filters that answer to an object.

Source: the first source document (Shinya, Nguyen, Harada and Thawonmas), eq. 7 to 10, as read in
:mod:`katazome.losses.filters`. Three variants:

* ``faithful``: the source's. In the layers of the chosen filters, Gram entries of a chosen filter are the
  style's, all others the content's own. All filters chosen is Gatys' loss on these layers.
* ``energy``: the same, the style's entries rescaled so that each filter keeps the content's energy, which
  keeps the method from switching the object's filters off.
* ``guided`` (the default): where the chosen filters answer is a region, refined to the object's edge, and
  Gatys' style acts there through all layers. It paints strokes and colours, which filters deep in the
  network do not carry.

Defaults: the balance is that of Gram matrices alone, to our eyes; the layers' weights are equal, as the
source's 0.5 and 0.5 are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from katazome.errors import OptionError
from katazome.filters.select import chosen_of
from katazome.losses.filters import energy_kept, entry_weights, mixed_gram
from katazome.methods.base import Engine, Inputs, Task, register, seed0
from katazome.methods.options import STYLE_LAYERS, StyleOptions
from katazome.methods.wiring import Wiring
from katazome.options import option
from katazome.regions.region import Filters, Region

BALANCE = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterOptions(StyleOptions):
    """Options of the filters method."""

    filters: str = option(
        "",
        help="Chosen filters: a file of `katazome filters select`, or words such as relu4_1:17 relu5_1:3,140",
        group="Where",
    )
    variant: str = option(
        "guided",
        help="What filters do: mix Gram matrices (faithful, energy), or say where the style acts (guided)",
        choices=("faithful", "energy", "guided"),
        group="Where",
    )
    reading: str = option(
        "corrected",
        help="How the source's equation 8 is read: corrected, or as printed",
        choices=("corrected", "printed"),
        group="Weights",
    )


@dataclass(frozen=True)
class Mixed:
    """Mixes the Gram matrices of content and style; see :data:`katazome.methods.hooks.Mix`."""

    chosen: Mapping[str, tuple[int, ...]]
    keep_energy: bool
    printed: bool

    def __call__(self, tap: str, content: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        """Return the target (C, C) and what each of its entries counts."""
        chosen = torch.zeros(len(content), dtype=torch.bool, device=content.device)
        chosen[list(self.chosen[tap])] = True
        style = energy_kept(content, style) if self.keep_energy else style
        return mixed_gram(content, style, chosen), entry_weights(chosen, printed=self.printed)


PRESETS = {
    "seed0": seed0(
        "the experiment of the first source document: its weights, its optimiser, faithful",
        variant="faithful",
    )
}


def _answering(options: FilterOptions, engine: Engine) -> Region | None:
    guided = options.filters and options.variant == "guided"
    return Filters(options.filters, engine.encoder) if guided else None


@register(
    "filters",
    summary="Style through the filters that answer to an object",
    options=FilterOptions,
    presets=PRESETS,
    where=_answering,
)
def filters(inputs: Inputs, options: FilterOptions, engine: Engine) -> Task:
    """Restyle what chosen filters answer to."""
    if not options.filters:
        raise OptionError(
            "the method filters needs filters; choose some with `katazome filters select` and give its file"
        )
    chosen = chosen_of(options.filters)
    content_weight, style_weight = options.pair(BALANCE)
    if options.variant == "guided":
        return Wiring(inputs, options, engine, style_weight, content_weight).task()
    mix = Mixed(chosen, options.variant == "energy", options.reading == "printed")
    return Wiring(
        inputs, _in_layers(options, tuple(chosen)), engine, style_weight, content_weight, mix=mix
    ).task()


def _in_layers(options: FilterOptions, layers: tuple[str, ...]) -> FilterOptions:
    """Return the options with the filters' own layers, which are the only ones that can be mixed."""
    asked = tuple(options.weights_of_layers())
    if asked == layers or (asked == STYLE_LAYERS and options.layer_weights is None):
        return replace(options, style_layers=layers)
    raise OptionError(
        f"style_layers are {', '.join(asked)}, and the variant {options.variant} works in the layers of its "
        f"filters; leave style_layers and layer_weights out, or name {', '.join(layers)}"
    )
