"""Several processes at one piece of work, by torch.distributed: who they are and what they tell each other.

torchrun starts them and :func:`join` finds it out, or the program starts some itself (:func:`meet`). Where a
process is alone, all of this does nothing.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from katazome.device import resolve_device
from katazome.errors import KatazomeError, OptionError

Made = TypeVar("Made")


def join(name: str) -> torch.device:
    """Join the other processes, where torchrun started several, and return this one's device.

    ``name`` is as for :func:`katazome.device.resolve_device`; a plain ``cuda`` is a card for each process.

    Raises :class:`OptionError` when there is no such device.
    """
    device = resolve_device(name)
    if not launched():
        return device
    if device.type == "cuda" and name in ("auto", "cuda"):
        device = resolve_device(f"cuda:{os.environ['LOCAL_RANK']}")
    if not dist.is_initialized():
        _begin(device)
        atexit.register(dist.destroy_process_group)
    return device


def launched() -> bool:
    """Whether torchrun started this process."""
    return dist.is_available() and dist.is_torchelastic_launched()


def alone(what: str) -> None:
    """Raise :class:`OptionError` where torchrun started several processes of what only one can do."""
    if launched():
        raise OptionError(
            f"torchrun started several processes, and each would do the whole of {what}; start it without"
        )


def meet(device: torch.device, file: Path, number: int, count: int) -> None:
    """Be the process ``number`` of ``count`` on this machine, which find each other by ``file``.

    Returns when all of them are there; :func:`part_ways` ends it.
    """
    _begin(device, init_method=file.absolute().as_uri(), rank=number, world_size=count)


def part_ways() -> None:
    """End what :func:`meet` began."""
    if dist.is_initialized():
        dist.destroy_process_group()


def _begin(device: torch.device, **where: Any) -> None:
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", **where)


def size() -> int:
    """Return how many processes there are."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return which of them this one is, from 0."""
    return dist.get_rank() if size() > 1 else 0


def leads() -> bool:
    """Whether this process is the one that writes files and speaks."""
    return rank() == 0


def follow_first(tensors: Iterable[Tensor]) -> None:
    """Set tensors, in place, to those of the first process."""
    if size() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, 0)


def in_any(flag: bool) -> bool:
    """Whether ``flag`` is set in any process."""
    if size() == 1:
        return flag
    told = torch.tensor(int(flag))
    dist.all_reduce(told, dist.ReduceOp.MAX)
    return bool(told)


def same_in_all(text: str) -> bool:
    """Whether all processes give the same text."""
    if size() == 1:
        return True
    told: list[Any] = [None] * size()
    dist.all_gather_object(told, text)
    return len(set(told)) == 1


def from_first(make: Callable[[], Made]) -> Made:
    """Return, or raise, in all processes what ``make`` does in the first; elsewhere it is not called."""
    if size() == 1:
        return make()
    held: list[Any] = [None]
    if leads():
        try:
            held = [make()]
        except KatazomeError as error:
            held = [error]
    dist.broadcast_object_list(held, 0, device=torch.device("cpu"))
    if isinstance(held[0], KatazomeError):
        raise held[0]
    found: Made = held[0]
    return found
