"""What the tests of batches share: the commands, and what they made."""

from __future__ import annotations

from pathlib import Path

QUICK = ("--size", "64", "--iterations", "2", "--precision", "float32", "--quiet")
LONG = ("--size", "64", "--precision", "float32", "--quiet", "--iterations")
MANY = ("batch", "photos", "--style", "looks", "-o", "out", *QUICK)


def made() -> dict[str, bytes]:
    """Return the results by name."""
    return {p.name: p.read_bytes() for p in sorted(Path("out").glob("*.png"))}
