"""The ways in which ``study attributes`` edits, and what it asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from katazome.collections.choosing import Wish
from katazome.errors import OptionError, nearest


@dataclass(frozen=True)
class Arm:
    """One way to edit. ``options`` are the method's; ``many`` says whether all faces are edited, or a few."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    many: bool = False
    wish: str = "Smiling"
    """What is asked for, a key of ``WISHES``."""
    pixels: float = 0.0
    """Add so many times the sets' mean pixel difference, instead of a descent."""
    scattered: bool = False
    """Pictures of the sets are moved off their places at random: no alignment at all."""


WISHES: Mapping[str, tuple[Wish, str, bool]] = {
    "Smiling": (Wish(add=("Smiling",)), "Smiling", True),
    "Smiling, mouth open": (Wish(add=("Smiling", "Mouth_Slightly_Open")), "Smiling", True),
    "Eyeglasses": (Wish(add=("Eyeglasses",)), "Eyeglasses", True),
    "Mustache": (Wish(add=("Mustache",), is_=("Male",)), "Mustache", True),
    "older": (Wish(remove=("Young",)), "Young", False),
}
"""What is asked for; what the judge is asked, and whether the answer is to be yes."""

ARMS = (
    *(Arm(f"layer {s}", {"strength": s}, many=True) for s in (0.4, 0.1)),
    *(Arm(f"layer {s}", {"strength": s}) for s in (0.2, 0.3, 0.5)),
    Arm("pixels x1", pixels=1.0, many=True),
    Arm("pixels x2", pixels=2.0, many=True),
    Arm("Eyeglasses, layer 0.5", {"strength": 0.5}, wish="Eyeglasses"),
    Arm("Mustache, layer 0.5", {"strength": 0.5}, wish="Mustache"),
    Arm("older, layer 0.5", {"strength": 0.5}, wish="older"),
    Arm("mouth open, layer 0.4", wish="Smiling, mouth open"),
    Arm("beta 0.4", {"convention": "beta"}),
    Arm("plain 2.5", {"convention": "plain"}),
    Arm("unit 0.4", {"convention": "unit"}),
    Arm("by attributes", {"by": "attributes"}),
    Arm("at random", {"by": "random"}),
    Arm("no alignment", {"align": False}),
    Arm("scattered", scattered=True),
    Arm("scattered pixels x2", scattered=True, pixels=2.0),
    Arm("from noise", {"init": "random"}),
    Arm("from noise, colour", {"init": "random", "color_match": "channels"}),
    Arm("from noise, colour, residual", {"init": "random", "color_match": "channels", "residual": True}),
    Arm("smoothness 1", {"smoothness": 1.0}),
    Arm("result carried", {"carry": "result"}),
    Arm("plain L-BFGS", {"precondition": False}),
)


def asked_for(names: Sequence[str]) -> tuple[Arm, ...]:
    """Return the arms of these names, or all when none is named.

    Raises :class:`OptionError` for a name that no arm has.
    """
    known = {arm.name: arm for arm in ARMS}
    for name in names:
        if name not in known:
            raise OptionError(
                f"no arm of the study is called '{name}'{nearest(name, known)} (known: {', '.join(known)})"
            )
    return tuple(known[name] for name in names) or ARMS
