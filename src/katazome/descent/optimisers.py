"""Optimisers of one picture: L-BFGS in compact form, and Adam with averaged iterates.

Both are functions of (picture, gradient) that return the next picture as fresh memory. Neither
reads a number back from the device inside a step, so a GPU is never made to wait.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from katazome.device import exact_dtype

State = dict[str, Tensor]

_LEAST_COSINE = 1e-6
"""Between a step and its change of gradient; a smaller one may be rounding (float32)."""


class Optimiser(Protocol):
    """What the loop needs of an optimiser."""

    def step(self, picture: Tensor, gradient: Tensor) -> Tensor:
        """Return the next picture (1, 3, H, W)."""

    def shown(self, picture: Tensor) -> Tensor:
        """Return the picture to show, to keep and to go on from at the next scale."""

    def carried(self, height: int, width: int) -> Optimiser:
        """Return the optimiser for the next scale, with what it can carry over."""

    def forget(self) -> None:
        """Start afresh, more carefully: the last steps led nowhere."""

    def changed_objective(self) -> None:
        """Be told that gradients before and after this moment do not compare."""

    def state(self) -> State:
        """Return all that is needed to go on exactly."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a :meth:`state`."""


class LBFGS:
    """Limited-memory BFGS without a line search, the history kept as two matrices.

    Source: Byrd, Nocedal & Schnabel, "Representations of quasi-Newton matrices and their use in
    limited memory methods", 1994, theorem 2.2: with pairs S, Y as rows, direction and update are
    a handful of products of tall matrices instead of two loops over the history.

    ``history`` is the number of pairs. The first step moves pixels by ``first_step`` (RMS, pixel
    range 0..1), and no step by more than ``longest_step`` (RMS): the guard against explosions.
    ``precondition`` is the P of :mod:`katazome.descent.preconditioner`, None for the plain method;
    pixels without a gradient are held whatever P does.
    """

    first_step = 0.02
    longest_step = 0.1

    def __init__(
        self,
        history: int,
        first_step: float = first_step,
        longest_step: float = longest_step,
        precondition: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.history = history
        self.precondition = precondition
        self.first_step = first_step
        self.longest_step = longest_step
        self._count = 0  # pairs ever stored; the slot of the next is count % history
        self._s = self._y = torch.empty(0)
        self._sy = self._yy = torch.empty(0)
        self._last: tuple[Tensor, Tensor] | None = None

    def step(self, picture: Tensor, gradient: Tensor) -> Tensor:
        """See :class:`Optimiser`."""
        g = self._blurred(gradient).reshape(-1)
        if self._last is not None:
            self._store(self._last[0], g - self._last[1])
        step = self._direction(g) if self._count else -g
        moved = self._blurred(step.view_as(picture))
        if self.precondition is not None:
            moved = torch.where(gradient == 0, 0, moved)
        length = _rms(moved)
        factor = self.longest_step / length if self._count else self.first_step / length
        factor = factor.clamp(max=1.0) if self._count else factor
        following = torch.addcmul(picture, moved, factor)
        self._last = (step.mul_(factor), g)
        return following

    def _blurred(self, x: Tensor) -> Tensor:
        return x if self.precondition is None else self.precondition(x)

    def _store(self, s: Tensor, y: Tensor) -> None:
        if not self._count:
            # Zeros, not unwritten memory: all of it goes into the state, and so into files.
            self._s, self._y = s.new_zeros(self.history, len(s)), s.new_zeros(self.history, len(s))
            small = {"dtype": exact_dtype(s.device), "device": s.device}
            self._sy = torch.zeros(self.history, self.history, **small)  # type: ignore[call-overload]
            self._yy = torch.zeros(self.history, self.history, **small)  # type: ignore[call-overload]
        curvature, lengths = torch.dot(s, y), torch.dot(s, s).sqrt() * torch.dot(y, y).sqrt()
        # A pair without positive curvature would spoil the model. It is stored as zeros, which
        # take no part, rather than skipped: skipping needs the host to know. Judged by the angle,
        # so that the size of the weights does not matter.
        good = (curvature > _LEAST_COSINE * lengths).to(s)
        slot = self._count % self.history
        # Straight into their rows: at 4096 px each picture less at once is 0.2 GB less.
        torch.mul(s, good, out=self._s[slot])
        torch.mul(y, good, out=self._y[slot])
        self._count += 1
        used = min(self._count, self.history)
        newest_s, newest_y = self._s[slot], self._y[slot]
        self._sy[:used, slot] = torch.mv(self._s[:used], newest_y).to(self._sy)
        self._sy[slot, :used] = torch.mv(self._y[:used], newest_s).to(self._sy)
        by_newest = torch.mv(self._y[:used], newest_y).to(self._yy)
        self._yy[:used, slot] = self._yy[slot, :used] = by_newest

    def _direction(self, g: Tensor) -> Tensor:
        used = min(self._count, self.history)
        newest = (self._count - 1) % self.history
        order = torch.arange(self._count - used, self._count, device=g.device) % self.history
        s, y = self._s[:used], self._y[:used]
        sy = self._sy[order][:, order]
        yy = self._yy[order][:, order]
        sg, yg = (s @ g).to(sy)[order], (y @ g).to(sy)[order]
        curvatures = sy.diagonal()
        void = (curvatures == 0).to(curvatures)
        upper = torch.triu(sy) + torch.diag(void)
        last = self._yy[newest, newest]
        gamma = torch.where(
            last > 0,
            self._sy[newest, newest] / last.clamp_min(torch.finfo(last.dtype).tiny),
            self._fallback(g),
        )
        u = torch.linalg.solve_triangular(upper, sg.unsqueeze(1), upper=True)
        inner = (torch.diag(curvatures) + gamma * yy) @ u - gamma * yg.unsqueeze(1)
        v = torch.linalg.solve_triangular(upper.t(), inner, upper=False)
        slots = torch.argsort(order)  # from order of age back to order of slots
        v, u = v[slots, 0].to(g), u[slots, 0].to(g)
        direction = torch.mv(y.t(), u * gamma.to(g))
        return direction.sub_(torch.mv(s.t(), v)).sub_(g * gamma.to(g))

    def _fallback(self, g: Tensor) -> Tensor:
        """Scale of the inverse Hessian when the newest pair is void.

        The mean over good pairs; without any, the first step's: a scale of zero would stand still.
        """
        curvature, length = self._sy.diagonal().sum(), self._yy.diagonal().sum()
        first = (self.first_step / _rms(g)).to(self._sy)
        return torch.where(length > 0, curvature / length.clamp_min(torch.finfo(length.dtype).tiny), first)

    def shown(self, picture: Tensor) -> Tensor:
        """See :class:`Optimiser`: the iterate itself."""
        return picture

    def carried(self, height: int, width: int) -> LBFGS:  # noqa: ARG002
        """See :class:`Optimiser`: curvature at one scale says nothing at the next, so nothing."""
        return LBFGS(self.history, self.first_step, self.longest_step, self.precondition)

    def forget(self) -> None:
        """See :class:`Optimiser`."""
        self._count, self._last = 0, None
        self.first_step *= 0.5
        self.longest_step *= 0.5

    def changed_objective(self) -> None:
        """See :class:`Optimiser`: old pairs still describe the curvature well, the next one would not."""
        self._last = None

    def state(self) -> State:
        """See :class:`Optimiser`."""
        limits = torch.tensor([self.first_step, self.longest_step], dtype=torch.float64)
        state = {"count": torch.tensor(self._count), "limits": limits}
        if self._count:
            state |= {"s": self._s, "y": self._y, "sy": self._sy, "yy": self._yy}
        if self._last is not None:
            state |= {"last_s": self._last[0], "last_g": self._last[1]}
        return state

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """See :class:`Optimiser`."""
        self._count = int(state["count"])
        self.first_step, self.longest_step = (float(v) for v in state["limits"])
        if self._count:
            self._s, self._y = state["s"], state["y"]
            self._sy, self._yy = state["sy"], state["yy"]
        self._last = (state["last_s"], state["last_g"]) if "last_s" in state else None


class Adam:
    """Adam on pixels kept in [0, 1]; what it shows is an average of its iterates.

    Source: Kingma & Ba 2015; second decay 0.99, averaging 0.99 and moments carried over scales as
    in crowsonkb/style-transfer-pytorch. ``rate`` is the step in pixel range 0..1.
    """

    decays = (0.9, 0.99)
    averaging = 0.99

    def __init__(self, rate: float = 0.02) -> None:
        self.rate = rate
        self._steps = 0
        self._averaged = 0
        self._first = self._second = self._average = torch.empty(0)

    def step(self, picture: Tensor, gradient: Tensor) -> Tensor:
        """See :class:`Optimiser`."""
        if not self._steps:
            self._first, self._second = torch.zeros_like(picture), torch.zeros_like(picture)
        if not self._averaged:
            self._average = torch.zeros_like(picture)
        self._steps += 1
        self._averaged += 1
        b1, b2 = self.decays
        self._first = torch.lerp(gradient, self._first, b1)
        self._second = torch.lerp(gradient.square(), self._second, b2)
        first = self._first / (1 - b1**self._steps)
        second = self._second / (1 - b2**self._steps)
        following = (picture - self.rate * first / (second.sqrt() + 1e-8)).clamp_(0, 1)
        self._average = torch.lerp(following, self._average, self.averaging)
        return following

    def shown(self, picture: Tensor) -> Tensor:
        """See :class:`Optimiser`: the average, corrected for its start at zero."""
        if not self._averaged:
            return picture
        return self._average / (1 - self.averaging**self._averaged)

    def carried(self, height: int, width: int) -> Adam:
        """See :class:`Optimiser`: the moments, resized; the average starts anew."""
        following = Adam(self.rate)
        if self._steps:
            following._steps = self._steps
            following._first = F.interpolate(
                self._first, (height, width), mode="bicubic", align_corners=False
            )
            second = F.interpolate(self._second, (height, width), mode="bilinear", align_corners=False)
            following._second = second.relu_()
        return following

    def forget(self) -> None:
        """See :class:`Optimiser`."""
        self._steps = self._averaged = 0
        self.rate *= 0.5

    def changed_objective(self) -> None:
        """See :class:`Optimiser`: nothing to do."""

    def state(self) -> State:
        """See :class:`Optimiser`."""
        state = {
            "counts": torch.tensor([self._steps, self._averaged]),
            "rate": torch.tensor(self.rate, dtype=torch.float64),
        }
        if self._steps:
            state |= {"first": self._first, "second": self._second}
        if self._averaged:
            state["average"] = self._average
        return state

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """See :class:`Optimiser`."""
        self._steps, self._averaged = (int(v) for v in state["counts"])
        self.rate = float(state["rate"])
        if self._steps:
            self._first, self._second = state["first"], state["second"]
        if self._averaged:
            self._average = state["average"]


def _rms(t: Tensor) -> Tensor:
    return t.square().mean().sqrt().clamp_min(1e-30)
