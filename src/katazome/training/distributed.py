"""Several processes (:mod:`katazome.processes`) that train one network, each on its part of every batch.

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

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from katazome.errors import OptionError
from katazome.processes import rank, size


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
