"""Katazome: change the look of pictures through the features of a recognition network.

>>> import katazome
>>> result = katazome.stylize("photo.jpg", "painting.jpg", size=512)  # doctest: +SKIP
>>> result.save("out.png")  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from katazome.api import (
        Result,
        Session,
        Work,
        attribute,
        get_method,
        list_methods,
        material,
        steps,
        stylize,
        texture,
    )
    from katazome.descent.loop import Step
    from katazome.errors import (
        KatazomeError,
        MethodError,
        OptionError,
        OutputError,
        PictureError,
        RegionError,
        WeightsError,
    )
    from katazome.jobs.replay import replay
    from katazome.networks.vgg import Encoder
    from katazome.pictures.read import Picture, read
    from katazome.recipe import Recipe, read_recipe
    from katazome.regions.region import Region

_HOMES = {
    "katazome.api": (
        "Result",
        "Session",
        "Work",
        "attribute",
        "get_method",
        "list_methods",
        "material",
        "steps",
        "stylize",
        "texture",
    ),
    "katazome.descent.loop": ("Step",),
    "katazome.errors": (
        "KatazomeError",
        "MethodError",
        "OptionError",
        "OutputError",
        "PictureError",
        "RegionError",
        "WeightsError",
    ),
    "katazome.jobs.replay": ("replay",),
    "katazome.networks.vgg": ("Encoder",),
    "katazome.pictures.read": ("Picture", "read"),
    "katazome.recipe": ("Recipe", "read_recipe"),
    "katazome.regions.region": ("Region",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__version__ = "0.1.0"

__all__ = [
    "Encoder",
    "KatazomeError",
    "MethodError",
    "OptionError",
    "OutputError",
    "Picture",
    "PictureError",
    "Recipe",
    "Region",
    "RegionError",
    "Result",
    "Session",
    "Step",
    "WeightsError",
    "Work",
    "attribute",
    "get_method",
    "list_methods",
    "material",
    "read",
    "read_recipe",
    "replay",
    "steps",
    "stylize",
    "texture",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that ``import katazome`` costs nothing."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'katazome' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
