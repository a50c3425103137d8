# mypy: disable-error-code="no-untyped-call"
"""L-BFGS against a textbook's two loops, Adam against PyTorch's, and both against what goes wrong."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from katazome.descent.optimisers import LBFGS, Adam
from katazome.descent.preconditioner import Preconditioner

SHAPE = (1, 3, 5, 7)
SIZE = 105


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def quadratic(seed=1, condition=100.0):
    """Half x'Ax - b'x with eigenvalues from 1 to ``condition``; returns (value, gradient) and the minimum."""
    turn, _ = torch.linalg.qr(draw(SIZE, SIZE, seed=seed))
    matrix = turn @ torch.diag(torch.logspace(0, math.log10(condition), SIZE).double()) @ turn.T
    lowest = 0.3 * draw(SIZE, seed=seed + 1)

    def of(picture):
        x = picture.reshape(-1).to(matrix) - lowest
        return 0.5 * x @ matrix @ x, (matrix @ x).view(SHAPE).to(picture)

    return of, lowest.view(SHAPE)


def rosenbrock(picture):
    x = picture.detach().reshape(-1).requires_grad_()
    value = (100 * (x[1:] - x[:-1].square()).square() + (1 - x[:-1]).square()).sum()
    (gradient,) = torch.autograd.grad(value, x)
    return value.detach(), gradient.view(SHAPE)


class TwoLoops:
    """Nocedal & Wright, algorithm 7.4, with the same rules for steps and pairs."""

    def __init__(self, history, first_step=0.02, longest_step=0.1):
        self.history, self.first_step, self.longest_step = history, first_step, longest_step
        self.pairs, self.last = [], None

    def step(self, picture, gradient):
        if self.last is not None:
            s, y = picture - self.last[0], gradient - self.last[1]
            good = (s * y).sum() > 1e-6 * s.norm() * y.norm()
            self.pairs = [*self.pairs, (s, y) if good else None][-self.history :]
        self.last = (picture, gradient)
        direction = self._direction(gradient)
        rms = float(direction.square().mean().sqrt())
        return picture + direction * min(1.0, self.longest_step / rms)

    def _direction(self, gradient):
        good = [pair for pair in self.pairs if pair is not None]
        if not good:
            return -gradient * self.first_step / gradient.square().mean().sqrt()
        q, alphas = gradient.clone(), []
        for s, y in reversed(good):
            alpha = (s * q).sum() / (s * y).sum()
            q = q - alpha * y
            alphas.append(alpha)
        if self.pairs[-1] is not None:
            s, y = good[-1]
            gamma = (s * y).sum() / (y * y).sum()
        else:
            gamma = sum((s * y).sum() for s, y in good) / sum((y * y).sum() for s, y in good)
        r = gamma * q
        for (s, y), alpha in zip(good, reversed(alphas), strict=True):
            r = r + s * (alpha - (y * r).sum() / (s * y).sum())
        return -r


def run(optimiser, function, steps, start):
    path = [start]
    for _ in range(steps):
        path.append(optimiser.step(path[-1], function(path[-1])[1]))
    return path


@pytest.mark.parametrize("history", [1, 3, 10, 60])
@pytest.mark.parametrize("name", ["quadratic", "rosenbrock"])
def test_compact_form_is_the_two_loops(name, history):
    function = quadratic()[0] if name == "quadratic" else rosenbrock
    start = 0.1 * draw(*SHAPE)
    plain = TwoLoops(history)
    optimiser = LBFGS(history)
    picture = start
    for _ in range(50):  # each step compared from the same picture, so that rounding does not pile up
        gradient = function(picture)[1]
        expected = plain.step(picture, gradient)
        found = optimiser.step(picture, gradient)
        moved = float((expected - picture).norm())
        assert float((found - expected).norm()) <= 1e-6 * moved + 1e-14
        picture = expected


@pytest.mark.parametrize("history", [1, 3, 8])
def test_pairs_of_negative_curvature_take_no_part(history):
    """The gradient is made up: along each step it rises, or falls, so void pairs stand at all ages."""
    optimiser, plain = LBFGS(history), TwoLoops(history)
    picture, gradient, void = draw(*SHAPE), draw(*SHAPE, seed=1), 0
    slopes = torch.linspace(1, 10, SIZE, dtype=torch.float64).view(SHAPE)
    for k in range(50):
        expected = plain.step(picture, gradient)
        following = optimiser.step(picture, gradient)
        torch.testing.assert_close(following, expected, rtol=1e-8, atol=1e-11)
        void += bool(plain.pairs) and plain.pairs[-1] is None
        step = following - picture
        falls = k in (0, 1, 7) or k % 5 == 3 or 20 <= k < 32
        picture, gradient = picture + step, gradient + step * slopes * (-1 if falls else 1)
    assert void == 23


def test_a_first_pair_of_negative_curvature_does_not_stop_the_descent():
    optimiser = LBFGS(5)
    start = draw(*SHAPE)
    first = optimiser.step(start, start)
    # the gradient got longer on the way down: no curvature to learn from yet
    second = optimiser.step(first, 2 * start)
    assert float((second - first).square().mean().sqrt()) == pytest.approx(0.02)


def test_lbfgs_converges():
    function, lowest = quadratic()
    path = run(LBFGS(10), function, 150, torch.zeros(SHAPE, dtype=torch.float64))
    torch.testing.assert_close(path[-1], lowest, rtol=0, atol=1e-5)
    assert float(rosenbrock(run(LBFGS(20), rosenbrock, 600, torch.zeros(SHAPE).double())[-1])[0]) < 1e-2


def test_lbfgs_in_float32():
    function, lowest = quadratic()
    path = run(LBFGS(10), function, 150, torch.zeros(SHAPE))
    assert path[-1].dtype == torch.float32
    torch.testing.assert_close(path[-1], lowest.float(), rtol=0, atol=1e-3)


def test_no_step_is_longer_than_the_guard():
    picture = torch.zeros(SHAPE)
    optimiser = LBFGS(5, first_step=0.02, longest_step=0.05)
    gradient = 1e10 * draw(*SHAPE, dtype=torch.float32)
    lengths = []
    for k in range(6):
        following = optimiser.step(picture, gradient * (1 - 1e-3 * k))  # a nearly flat curvature: long steps
        lengths.append(float((following - picture).square().mean().sqrt()))
        picture = following
    assert lengths[0] == pytest.approx(0.02)
    assert max(lengths) <= 0.05 * (1 + 1e-5)
    assert max(lengths) > 0.049
    assert picture.isfinite().all()


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_size_of_the_weights_does_not_matter(scale):
    function = quadratic()[0]
    start = draw(*SHAPE, dtype=torch.float32)
    plain = run(LBFGS(5), function, 30, start)
    scaled = run(LBFGS(5), lambda p: (0, scale * function(p)[1]), 30, start)
    torch.testing.assert_close(scaled[-1], plain[-1], rtol=0, atol=1e-3)


@pytest.mark.parametrize("make", [lambda: LBFGS(4), Adam], ids=["lbfgs", "adam"])
def test_no_gradient_no_step(make):
    optimiser, picture = make(), draw(*SHAPE).clamp(0, 1)
    for _ in range(4):
        moved = optimiser.step(picture, torch.zeros_like(picture))
        assert torch.equal(moved, picture)


@pytest.mark.parametrize("make", [lambda: LBFGS(4), Adam], ids=["lbfgs", "adam"])
def test_arguments_are_left_alone(make):
    optimiser, function = make(), quadratic()[0]
    picture = draw(*SHAPE).clamp(0, 1)
    for _ in range(8):
        gradient = function(picture)[1]
        before = picture.clone(), gradient.clone()
        following = optimiser.step(picture, gradient)
        shown = optimiser.shown(following)
        kept = following.clone(), shown.clone()
        optimiser.state()
        assert torch.equal(picture, before[0])
        assert torch.equal(gradient, before[1])
        picture = following
        assert torch.equal(following, kept[0])
        assert torch.equal(shown, kept[1])


@pytest.mark.parametrize("make", [lambda: LBFGS(4), Adam], ids=["lbfgs", "adam"])
@pytest.mark.parametrize("after", [0, 1, 2, 5, 9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_state_and_restore_go_on_bit_for_bit(make, after, dtype):
    function = quadratic()[0]
    one = make()
    picture = run(one, function, after, draw(*SHAPE, dtype=dtype).clamp(0, 1))[-1]
    state = {name: value.clone() for name, value in one.state().items()}
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    two = make()
    two.restore(state)
    assert torch.equal(one.shown(picture), two.shown(picture))
    for a, b in zip(run(one, function, 9, picture), run(two, function, 9, picture), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(one.shown(a), two.shown(b))


def test_a_state_holds_no_memory_that_was_never_written():
    optimiser = LBFGS(6)
    run(optimiser, quadratic()[0], 3, draw(*SHAPE))
    state = optimiser.state()
    assert not state["s"][2:].any()
    assert not state["y"][2:].any()


def test_lbfgs_forgets_and_goes_more_carefully():
    optimiser, function = LBFGS(4), quadratic()[0]
    picture = run(optimiser, function, 6, draw(*SHAPE))[-1]
    optimiser.forget()
    assert "s" not in optimiser.state()
    moved = optimiser.step(picture, function(picture)[1])
    assert float((moved - picture).square().mean().sqrt()) == pytest.approx(0.01)
    run(optimiser, function, 6, moved)


def test_lbfgs_keeps_its_pairs_when_the_objective_changes():
    optimiser, function = LBFGS(4), quadratic()[0]
    picture = run(optimiser, function, 6, draw(*SHAPE))[-1]
    before = optimiser.state()["s"].clone()
    optimiser.changed_objective()
    optimiser.step(picture, function(picture)[1])
    assert torch.equal(optimiser.state()["s"], before)
    fresh = optimiser.carried(10, 14)
    assert (fresh.history, "s" in fresh.state()) == (4, False)


def test_adam_is_adam():
    function = quadratic(condition=10)[0]
    start = draw(*SHAPE).clamp(0, 1)
    leaf = start.clone().requires_grad_()
    plain = torch.optim.Adam([leaf], lr=0.02, betas=(0.9, 0.99), eps=1e-8)
    optimiser, picture = Adam(0.02), start
    iterates = []
    for _ in range(60):
        leaf.grad = function(leaf.detach())[1]
        plain.step()
        with torch.no_grad():
            leaf.clamp_(0, 1)
        picture = optimiser.step(picture, function(picture)[1])
        iterates.append(picture)
        torch.testing.assert_close(picture, leaf.detach(), rtol=1e-10, atol=1e-12)
    assert float(picture.min()) >= 0
    assert float(picture.max()) <= 1
    assert ((picture == 0) | (picture == 1)).any()
    weights = 0.99 ** torch.arange(59.0, -1, -1, dtype=torch.float64)
    mean = (weights.view(-1, 1, 1, 1, 1) * torch.stack(iterates)).sum(0) / weights.sum()
    torch.testing.assert_close(optimiser.shown(picture), mean)


def test_the_average_of_the_first_step_is_that_step():
    optimiser, start = Adam(), draw(*SHAPE).clamp(0, 1)
    assert torch.equal(optimiser.shown(start), start)
    moved = optimiser.step(start, quadratic()[0](start)[1])
    torch.testing.assert_close(optimiser.shown(moved), moved)


def test_adam_carries_its_moments_over_scales():
    optimiser, function = Adam(), quadratic()[0]
    picture = run(optimiser, function, 12, draw(*SHAPE).clamp(0, 1))[-1]
    following = optimiser.carried(10, 14)
    state = following.state()
    assert state["counts"].tolist() == [12, 0]
    assert state["first"].shape == state["second"].shape == (1, 3, 10, 14)
    assert (state["second"] >= 0).all()
    larger = torch.rand(1, 3, 10, 14, dtype=torch.float64)
    assert torch.equal(following.shown(larger), larger)
    again = Adam()
    again.restore(state)
    gradient = draw(1, 3, 10, 14, seed=4)
    assert torch.equal(again.step(larger, gradient), following.step(larger, gradient))
    assert optimiser.carried(5, 7).state()["first"].shape == picture.shape
    assert Adam().carried(5, 7).state()["counts"].tolist() == [0, 0]


def test_adam_forgets():
    optimiser, function = Adam(0.02), quadratic()[0]
    picture = run(optimiser, function, 5, draw(*SHAPE).clamp(0, 1))[-1]
    optimiser.forget()
    assert torch.equal(optimiser.shown(picture), picture)
    fresh = Adam(0.01)
    gradient = function(picture)[1]
    assert torch.equal(optimiser.step(picture, gradient), fresh.step(picture, gradient))


@pytest.mark.parametrize("wrap", [(False, False), (True, False), (True, True)])
def test_the_preconditioner_is_symmetric_and_positive(wrap):
    p = Preconditioner(wrap)
    a, b = draw(1, 3, 32, 48), draw(1, 3, 32, 48, seed=1)
    assert float((p(a) * b).sum()) == pytest.approx(float((a * p(b)).sum()), rel=1e-9)
    assert float((p(a) * a).sum()) > 0
    torch.testing.assert_close(p(2 * a + b), 2 * p(a) + p(b))
    if all(wrap):
        torch.testing.assert_close(p(a.roll((5, 7), (2, 3))), p(a).roll((5, 7), (2, 3)))
    if not any(wrap):  # opposite edges do not feel each other
        edge = torch.zeros(1, 3, 32, 48, dtype=torch.float64)
        edge[..., 0] = 1
        assert float(p(edge)[..., -1].abs().max()) < 0.05 * float(p(edge)[..., 0].max())


def test_preconditioning_moves_large_forms_sooner():
    """A quadratic that is stiff for fine detail, as style is: large forms arrive in fewer steps."""
    goal = F.interpolate(draw(1, 3, 4, 4), (32, 32), mode="bicubic") + 0.1 * draw(1, 3, 32, 32, seed=2)
    frequency = torch.hypot(torch.fft.fftfreq(32).view(-1, 1), torch.fft.rfftfreq(32).view(1, -1))

    def gradient(x):
        return torch.fft.irfft2(torch.fft.rfft2(x - goal) * (0.01 + frequency), s=(32, 32))

    left = []
    for precondition in (None, Preconditioner()):
        optimiser, x = LBFGS(5, precondition=precondition), torch.zeros_like(goal)
        for _ in range(12):
            x = optimiser.step(x, gradient(x))
        left.append(float((F.avg_pool2d(x, 8) - F.avg_pool2d(goal, 8)).norm()))
    assert left[1] < 0.5 * left[0]


def test_pixels_without_a_gradient_are_held_by_the_preconditioner_too():
    optimiser = LBFGS(5, precondition=Preconditioner())
    x, held = draw(1, 3, 32, 32), torch.ones(1, 1, 32, 32, dtype=torch.float64)
    held[..., 16:] = 0
    start = x.clone()
    for _ in range(12):
        x = optimiser.step(x, held * (x - 0.3))
    assert torch.equal(x[..., 16:], start[..., 16:])
    assert float((x - 0.3)[..., :16].norm()) < 0.5 * float((start - 0.3)[..., :16].norm())
