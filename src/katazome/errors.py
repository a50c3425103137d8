"""The tree of errors.

Every message says what went wrong, what was found, what was expected and what to do.
The command line turns each kind into an exit code: 2 for a mistake in what was asked
(options, inputs), 1 for a failure of the work itself.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from typing import Any


class KatazomeError(Exception):
    """Root of everything this package raises on purpose."""

    exit_code = 1


class PictureError(KatazomeError):
    """A picture cannot be read, or is not what the work needs."""

    exit_code = 2


class OutputError(PictureError):
    """A result cannot be written (no permission, no space, already there)."""

    exit_code = 1


class RegionError(KatazomeError):
    """A region is empty, of the wrong shape, or cannot be made."""

    exit_code = 2


class WeightsError(KatazomeError):
    """A network's file is missing, damaged, or of another network."""


class GivenWeightsError(WeightsError):
    """What was given as weights, a name or a file, is not what is needed."""

    exit_code = 2


class OptionError(KatazomeError, ValueError):
    """An option is unknown, out of range, or contradicts another."""

    exit_code = 2


class MethodError(KatazomeError):
    """A method cannot do what was asked of it, or its work failed."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known name most like ``name``, or an empty string."""
    by_lower = {k.lower(): k for k in known}
    match = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f"; did you mean '{by_lower[match[0]]}'?" if match else ""


def sentence(error: Exception) -> str:
    """Return what a person is told of an error: its own message, or, of one that is not ours, what to do."""
    if isinstance(error, KatazomeError):
        return str(error)
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and any(sign in str(error) for sign in ("DefaultCPUAllocator", "out of memory", "not enough memory"))
    ):
        return "there is not enough memory for this; take --tile 256, or a smaller --size"
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'}: {error.strerror or error}"
    text = f"{type(error).__name__}: {error}"
    return f"something went wrong that should not ({text}); KATAZOME_DEBUG=1 shows where"


def require(module: str, extra: str, what: str, error: type[KatazomeError]) -> Any:
    """Import a library that is not always installed, or raise ``error``, which says how to get it.

    ``extra`` is the package's extra that brings it; ``what`` is what needs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as failed:
        raise error(
            f"{what} needs {module}, which is not here ({failed}): pip install 'katazome[{extra}]'"
        ) from None
