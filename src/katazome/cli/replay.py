"""The command ``katazome replay``: the look of a picture on another, from the recipe inside it."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

from cyclopts import Parameter

from katazome.cli import declare
from katazome.cli.settings import ReplaySettings
from katazome.cli.stylize import CLASSES, again


def _replay(recipe: str, content: str | None = None, **given: Any) -> int:
    settings = ReplaySettings.from_json(declare.values_of(ReplaySettings, given))
    return again(recipe, content, settings.style, settings, given)


replay = declare.command(
    _replay,
    [
        declare.argument("recipe", "A picture that carries its recipe, or a file of `katazome info --json`"),
        inspect.Parameter(
            "content",
            inspect.Parameter.POSITIONAL_ONLY,
            default=None,
            annotation=Annotated[str | None, Parameter(help="The picture to restyle; none for a texture")],
        ),
    ],
    CLASSES["replay"],
)
