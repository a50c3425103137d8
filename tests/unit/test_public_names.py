"""The public names, and what ``import katazome`` costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import katazome

NAMES = [
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


def test_names_are_pinned() -> None:
    assert katazome.__all__ == NAMES
    assert dir(katazome) == sorted([*NAMES, "__version__"])


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_there_and_documented(name: str) -> None:
    assert getattr(katazome, name).__doc__


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="no attribute 'stylise'"):
        _ = katazome.stylise


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(*(name.partition('.')[0] for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_is_light() -> None:
    loaded = loaded_by("import katazome")
    assert not loaded & {"torch", "numpy", "PIL", "cyclopts", "rich", "requests", "safetensors"}


def test_the_library_loads_no_command_line() -> None:
    loaded = loaded_by("import katazome; katazome.stylize")
    assert "torch" in loaded
    assert not loaded & {"cyclopts", "rich", "requests"}
