"""The command ``katazome doctor``: what this machine is and what works on it, for a report of a bug.

It holds no path, no user's name and no machine's name. What an error says may hold them, so that of a
failure only the kind is told.
"""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Callable, Iterator
from importlib import import_module, metadata
from typing import Annotated

import torch
from cyclopts import Parameter

from katazome import __version__
from katazome.cli.reference import ENVIRONMENT
from katazome.device import describe, free_memory, keep_heap, resolve_device, supports_bfloat16
from katazome.errors import WeightsError
from katazome.methods.options import STYLE_LAYERS
from katazome.networks.vgg import Encoder
from katazome.objective.plan import seconds_per_pixel
from katazome.weights import store
from katazome.weights.flavours import open_vgg

Section = dict[str, str]

_SIDE = 256
_LABEL = 34
_TOLD = {"KATAZOME_OFFLINE", "KATAZOME_HEAP", "KATAZOME_MAX_PIXELS", "KATAZOME_DEBUG"}
"""Variables whose values are told; of others only that they are set, as they may be paths."""
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_MODULES = {"pyvips": "pyvips", "opencv-python-headless": "cv2"}
"""Modules that are called otherwise than their packages."""
_REQUIREMENT = re.compile(r"([\w.-]+)[^;]*(?:;\s*extra\s*==\s*['\"]([\w-]+)['\"])?")
_OWN_EXTRAS = ("all", "dev")


def doctor(
    *,
    as_json: Annotated[bool, Parameter(name="--json", help="Print it as JSON")] = False,
) -> int:
    """Say what this machine is, what is installed and what works; 1 when something does not."""
    wrong: list[str] = []
    report = {
        "versions": _versions(),
        "machine": _machine(),
        "weights": _weights(wrong),
        "speed": _speed(wrong),
        "extras": _extras(wrong),
        "environment": _environment(),
    }
    if as_json:
        print(json.dumps({**report, "wrong": wrong}, indent=2, ensure_ascii=False))
        return 1 if wrong else 0
    for title, section in report.items():
        print(title)
        for label, text in section.items():
            print(f"  {label:{_LABEL}}{text}")
    print(f"wrong\n  {'; '.join(wrong)}" if wrong else "all that is here works")
    return 1 if wrong else 0


def _versions() -> Section:
    core = {name: _installed(name) or "not installed" for name, extra in _requirements() if not extra}
    return {"katazome": __version__, "python": platform.python_version(), **core}


def _machine() -> Section:
    device = resolve_device("auto")
    libc = " ".join(platform.libc_ver())
    return {
        "system": " ".join(filter(None, (platform.system(), platform.machine(), libc))),
        "processors": str(os.cpu_count() or "unknown"),
        "device": f"{device.type}: {describe(device)}",
        "memory free": f"{free_memory(device) / 2**30:.1f} GiB",
        "heap kept": "yes" if keep_heap() else "no",
        "bfloat16": "fast; --precision auto begins in it"
        if supports_bfloat16(device)
        else "not used: slow here",
    }


def _weights(wrong: list[str]) -> Section:
    found: Section = {}
    for entry, kept in store.listing():
        if kept is None:
            found[entry.name] = f"not here yet: katazome weights fetch {entry.name}"
            continue
        try:
            found[entry.name] = f"here and whole, {store.verify(entry.name).size / 1e6:.0f} MB"
        except (WeightsError, OSError):
            found[entry.name] = f"DAMAGED; delete it, then katazome weights fetch {entry.name}"
            wrong.append(f"the weights {entry.name} are damaged")
    return found


def _speed(wrong: list[str]) -> Section:
    """One evaluation of the network with its gradient, which is most of all work, in each arithmetic."""
    if not any(kept for entry, kept in store.listing() if entry.name == "vgg19"):
        return {"not measured": "the weights vgg19 are not here yet"}
    device = resolve_device("auto")
    kinds = [torch.float32, *([torch.bfloat16] if supports_bfloat16(device) else [])]
    found: Section = {}
    for dtype in kinds:
        name = str(dtype).removeprefix("torch.")

        def measure(dtype: torch.dtype = dtype) -> str:
            seconds = seconds_per_pixel(Encoder(open_vgg(), device=device), STYLE_LAYERS, dtype)
            return f"{1000 * seconds * _SIDE**2:.0f} ms an evaluation of {_SIDE} x {_SIDE} px"

        found[name] = _tried(measure, f"the network in {name}", wrong)
    return found


def _extras(wrong: list[str]) -> Section:
    found: Section = {}
    for name, extra in _requirements():
        if not extra or extra in _OWN_EXTRAS:
            continue
        version = _installed(name)
        label = f"{extra}: {name}"
        if version is None:
            found[label] = f"not installed: pip install 'katazome[{extra}]'"
            continue

        def load(name: str = name, version: str = version) -> str:
            import_module(_MODULES.get(name, name.replace("-", "_")))
            return version

        found[label] = _tried(load, name, wrong)
    return found


def _environment() -> Section:
    names = [*(name for name, _ in ENVIRONMENT), *_THREADS]
    there = [name for name in names if os.environ.get(name)]
    return {name: os.environ[name] if name in {*_TOLD, *_THREADS} else "set" for name in there} or {
        "nothing set": ""
    }


def _tried(what: Callable[[], str], name: str, wrong: list[str]) -> str:
    try:
        return what()
    except Exception as error:  # whatever a library may raise: to tell of it is what this is for
        wrong.append(f"{name} fails with {type(error).__name__}")
        return f"FAILS: {type(error).__name__}"


def _requirements() -> Iterator[tuple[str, str]]:
    """Yield the packages that this one needs, and for what extra; an empty string where for all."""
    try:
        lines = metadata.requires("katazome") or []
    except metadata.PackageNotFoundError:  # run from a folder of sources
        lines = []
    for line in lines:
        if (found := _REQUIREMENT.match(line)) and not line.startswith("katazome["):
            yield found[1], found[2] or ""


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
