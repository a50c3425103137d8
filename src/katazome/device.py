"""The machine: device, precision, free memory, heap, random numbers.

"auto" is resolved here, once, at the interface; below, device and data type follow the input.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from pathlib import Path

import torch

from katazome.errors import OptionError

_HEAP_SWITCH = "KATAZOME_HEAP"


def resolve_device(name: str) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps`` into a device that is there.

    Raises :class:`OptionError` for one that is not.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise OptionError(f"device is '{name}'; it must be auto, cpu, cuda, cuda:N or mps") from None
    there = {"cpu": True, "cuda": cuda, "mps": mps}.get(device.type, False)
    if not there or (device.index or 0) >= max(1, torch.cuda.device_count() if device.type == "cuda" else 1):
        raise OptionError(f"device '{name}' is not on this machine; use 'auto' or 'cpu'")
    return device


def supports_bfloat16(device: torch.device) -> bool:
    """Whether arithmetic in bfloat16 is faster than in float32 here (native instructions, not emulated)."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "mps":
        return False
    abilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(abilities.get("avx512_bf16") or abilities.get("amx_bf16") or abilities.get("bf16"))


def exact_dtype(device: torch.device) -> torch.dtype:
    """The widest arithmetic for small sums and solves: float64, which Apple's GPUs do not have."""
    return torch.float32 if device.type == "mps" else torch.float64


def keep_threads(count: int) -> bool:
    """Compute with ``count`` threads, as some work was begun: sums are then the same to the last bit.

    Returns whether this machine has as many; otherwise nothing is changed.
    """
    if not 0 < count <= (os.cpu_count() or 1):
        return False
    torch.set_num_threads(count)
    return True


def free_memory(device: torch.device) -> int:
    """Bytes that can be taken now: on the card, or in main memory (also within a container's limit)."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = _available_main_memory()
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            taken = int(Path(used).read_text()) - _reclaimable(Path(used).with_name("memory.stat"))
            free = min(free, int(Path(limit).read_text()) - taken)
        except (OSError, ValueError):
            continue
    return max(0, free)


def _reclaimable(statistics: Path) -> int:
    """Bytes of files kept in memory, which a container's usage counts but gives up when asked."""
    for line in statistics.read_text().splitlines():
        if line.startswith(("inactive_file ", "total_inactive_file ")):
            return int(line.split()[1])
    return 0


def _available_main_memory() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        # No figure for what is free (macOS): half of what there is has proved a careful guess.
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return 4 << 30


def resident_memory() -> int:
    """Bytes of main memory that this process holds now."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError):
        return peak_memory()
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_memory() -> int:
    """Bytes of main memory that this process has held at most so far (0 where unknown).

    On Linux the kernel's own figure of this program: what getrusage says begins with what the process held
    that started it.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def keep_heap() -> bool:
    """Tell the C library to keep freed memory instead of giving each large block back at once.

    Writing to fresh memory costs ten times more than writing to memory already held, because
    every page must first be handed out. This changes the whole process, so only the command
    line and a :class:`~katazome.api.Session` call it, never an import; ``KATAZOME_HEAP=0``
    leaves the heap alone. Returns whether anything was set (glibc on Linux only).
    """
    if os.environ.get(_HEAP_SWITCH, "1") == "0" or sys.platform != "linux":
        return False
    if platform.libc_ver()[0] != "glibc":
        return False
    top_pad, mmap_max, trim_threshold = -2, -4, -1
    libc = ctypes.CDLL("libc.so.6")
    settings = ((mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 64 << 20))
    _heap_is_kept[0] = 0 not in [libc.mallopt(key, value) for key, value in settings]
    return _heap_is_kept[0]


def trim_heap() -> None:
    """Give memory that :func:`keep_heap` has kept, and nothing uses now, back to the system.

    Between two kinds of work: what the first left in pieces the second could not use, and both
    would count. Does nothing where the heap was left alone.
    """
    if _heap_is_kept[0]:
        ctypes.CDLL("libc.so.6").malloc_trim(0)


_heap_is_kept = [False]


def generator(seed: int) -> torch.Generator:
    """A random generator on the CPU: the same numbers on every device."""
    return torch.Generator("cpu").manual_seed(seed)


def describe(device: torch.device) -> str:
    """Name the device in a few words, for plans and benchmarks."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "Apple GPU"
    abilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    name = str(abilities.get("cpu_name") or platform.processor() or platform.machine())
    return f"{name}, {torch.get_num_threads()} threads"
