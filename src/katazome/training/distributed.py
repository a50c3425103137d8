"""Several processes that train one network, each on its part of every batch, as torchrun starts them.

All of them draw the same step from the same generator, and each takes its part of the batch (:func:`part`).
After the backward pass gradients and terms are averaged over the processes, in one sum of one vector. What
is a mean over the batch needs nothing more; what is not, such as MMD, compares the codes of all
(:func:`gathered`). One process with the whole batch then comes to the same weights, within rounding.

The averaging is written out instead of taken from DistributedDataParallel, which hooks the forward pass of
one module: a lesson calls several networks, and parts of them. What that would gain, sums that overlap with
the backward pass, is little for networks of a few million parameters. Outside of torchrun all of this does
nothing.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterable, Sequence
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
    if not dist.is_available() or not dist.is_torchelastic_launched():
        return device
    if device.type == "cuda" and name in ("auto", "cuda"):
        device = resolve_device(f"cuda:{os.environ['LOCAL_RANK']}")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
        atexit.register(dist.destroy_process_group)
    return device


def size() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return which of them this one is, from 0."""
    return dist.get_rank() if size() > 1 else 0


def leads() -> bool:
    """Whether this process is the one that writes files and speaks."""
    return rank() == 0


def part(count: int) -> slice:
    """Return which items of a batch of ``count`` are this process's.

    Raises :class:`OptionError` when they cannot be shared out evenly.
    """
    if count % size():
        raise OptionError(f"batch is {count}; it must be a multiple of the {size()} processes")
    each = count // size()
    return slice(rank() * each, (rank() + 1) * each)


def gathered(own: Tensor) -> Tensor:
    """Return all processes' rows (N, ...) of equally many each, in the order of the batch.

    With gradient: that of any function of all rows, once gradients are averaged over the processes.
    """
    return own if size() == 1 else _Gathered.apply(own)  # type: ignore[no-untyped-call]


class _Gathered(torch.autograd.Function):
    """Rows of all processes; a row's gradient is the sum of what it is in each process's loss."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:  # noqa: ARG004
        parts = [torch.empty_like(own, memory_format=torch.contiguous_format) for _ in range(size())]
        dist.all_gather(parts, own.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:  # noqa: ARG004
        total = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total[part(len(total))]


def average(tensors: Sequence[Tensor]) -> None:
    """Set tensors, of the same shapes in all processes, to their mean over the processes, in place."""
    if size() == 1 or not tensors:
        return
    total = torch.cat([tensor.detach().flatten().to(tensors[0]) for tensor in tensors])
    dist.all_reduce(total)
    parts = torch.split(total / size(), [tensor.numel() for tensor in tensors])
    for tensor, mean in zip(tensors, parts, strict=True):
        tensor.copy_(mean.view_as(tensor))


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
