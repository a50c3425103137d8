"""The trainer on a line through points: it learns, stops, goes on bit for bit, and says when it fails."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from katazome.errors import MethodError, OptionError, PictureError
from katazome.training.keeping import Log, read_state, write_state
from katazome.training.trainer import TrainingOptions, TrainingState, train


class Line:
    """Learns y = 3 x - 1."""

    def __init__(self, width: int = 1) -> None:
        torch.manual_seed(3)
        self.module: nn.Module = nn.Linear(1, width)

    def terms(self, step: int, draw: torch.Generator) -> Mapping[str, Tensor]:
        x = torch.rand(16, 1, generator=draw)
        return {"error": (self.module(x) - (3 * x - 1)).square().mean()}


OPTIONS = TrainingOptions(steps=40, learning_rate=0.2, seed=5)


def run(
    lesson: Line, resume: TrainingState | None = None, options: TrainingOptions = OPTIONS
) -> list[Tensor]:
    list(train(lesson, options, resume))
    return [p.detach().clone() for p in lesson.module.parameters()]


def test_it_learns_and_its_steps_say_so() -> None:
    steps = list(train(Line(), OPTIONS))
    assert [s.index for s in steps] == list(range(1, 41))
    assert steps[0].rate == 0.2
    assert steps[20].rate == pytest.approx(0.1)
    assert steps[-1].terms["error"] < 0.1 * steps[0].terms["error"]
    assert steps[-1].seconds >= steps[0].seconds > 0


@pytest.mark.parametrize("options", [OPTIONS, dataclasses.replace(OPTIONS, averaging=0.9)])
def test_it_goes_on_bit_for_bit(options: TrainingOptions, tmp_path: Path) -> None:
    whole = run(Line(), options=options)
    first = list(itertools.islice(train(Line(), options), 17))[-1]
    write_state(tmp_path / "state", first.state(), {"options": options.to_json()})
    state, header = read_state(tmp_path / "state")
    assert header == {"options": options.to_json()}
    assert state.done == 17
    for a, b in zip(whole, run(Line(), state, options), strict=True):
        assert torch.equal(a, b)


def test_a_state_is_not_moved_by_later_steps() -> None:
    work = train(Line(), OPTIONS)
    state = next(work).state()
    kept = {name: tensor.clone() for name, tensor in {**state.module, **state.optimiser}.items()}
    next(work)
    assert all(torch.equal(t, kept[n]) for n, t in {**state.module, **state.optimiser}.items())


def test_another_seed_draws_otherwise() -> None:
    one, other = (next(train(Line(), TrainingOptions(seed=s))).terms["error"] for s in (1, 2))
    assert one != other


class Normed(Line):
    """A line behind a layer with buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.module = nn.Sequential(nn.BatchNorm1d(1), self.module)


def test_the_average_is_that_of_its_definition() -> None:
    """Each step's weights count by the shares that all later steps keep; buffers are not averaged."""
    options = dataclasses.replace(OPTIONS, averaging=0.8)
    lesson, seen = Normed(), []
    for step in train(lesson, options):
        seen.append([p.detach().double().clone() for p in lesson.module.parameters()])
        last = step
    keeps = [min(0.8, index / (index + 9)) for index in range(options.steps)]
    shares = [(1 - keep) * math.prod(keeps[index + 1 :]) for index, keep in enumerate(keeps)]
    assert sum(shares) == pytest.approx(1)
    for number, found in enumerate(lesson.module.parameters()):
        expected = sum(share * step[number] for share, step in zip(shares, seen, strict=True))
        torch.testing.assert_close(found.detach().double(), expected, rtol=1e-5, atol=1e-6)
        assert not torch.equal(found.detach().double(), seen[-1][number])
    plain = Normed()
    list(train(plain, OPTIONS))
    for name, buffer in plain.module.named_buffers():
        assert torch.equal(buffer, lesson.module.get_buffer(name))
    assert last.index == options.steps


def test_a_short_training_is_not_spoilt_by_its_average() -> None:
    options = dataclasses.replace(OPTIONS, averaging=0.9999)
    lesson, draw = Line(), torch.Generator()
    begun = lesson.terms(0, draw.manual_seed(0))["error"].detach()
    list(train(lesson, options))
    assert lesson.terms(0, draw.manual_seed(0))["error"].detach() < 0.1 * begun


def test_schedules() -> None:
    def rates(**given: Any) -> list[float]:
        options = TrainingOptions(steps=100, learning_rate=2.0, **given)
        return [options.rate_at(step) for step in range(100)]

    assert rates(schedule="constant") == [2.0] * 100
    falling = rates(schedule="exponential")
    assert falling[50] == pytest.approx(0.2)
    assert falling[99] / falling[98] == pytest.approx(math.exp(-math.log(100) / 100))
    assert rates()[50] == pytest.approx(1.0)
    warm = rates(schedule="constant", warm_up=4)
    assert warm[:6] == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]


def test_a_long_gradient_is_shortened() -> None:
    found = {}
    for clip in (0.0, 0.25):
        lesson = Line()
        next(train(lesson, dataclasses.replace(OPTIONS, clip=clip)))
        found[clip] = torch.cat([p.grad.flatten() for p in lesson.module.parameters() if p.grad is not None])
    assert float(found[0.0].norm()) > 1
    torch.testing.assert_close(found[0.25], found[0.0] * 0.25 / found[0.0].norm())


class Shown(Normed):
    """A lesson whose samples say what its module is then, and use it as careless ones would."""

    def samples(self) -> Tensor:
        assert not torch.is_grad_enabled()
        assert not self.module.training
        self.module(torch.rand(4, 1) + 7)
        return torch.cat([p.detach().flatten() for p in self.module.parameters()])


def test_samples_are_of_the_average_and_disturb_nothing() -> None:
    options = dataclasses.replace(OPTIONS, averaging=0.8)
    plain, shown = Normed(), Shown()
    assert next(train(Line(), OPTIONS)).samples() is None
    for step in train(shown, options):
        samples = step.samples()
        if step.index == 20:
            for name, tensor in step.state().average.items():
                assert not torch.equal(tensor, shown.module.get_parameter(name))
            assert samples is not None
            assert torch.equal(samples, torch.cat([t.flatten() for t in step.state().average.values()]))
    list(train(plain, options))
    for name, tensor in plain.module.state_dict().items():
        assert torch.equal(tensor, shown.module.state_dict()[name])
    assert all(part.training for part in shown.module.modules())


class Breaking(Line):
    """Terms of which one breaks at the sixth step."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self._how = how

    def terms(self, step: int, draw: torch.Generator) -> Mapping[str, Tensor]:
        found = {**super().terms(step, draw), "other": 0 * self.module(torch.ones(1, 1)).sum()}
        if step == 5:
            broken = {"value": found["other"] + torch.inf, "gradient": found["other"].sqrt()}
            found["other"] = broken[self._how]
        return found


@pytest.mark.parametrize(("how", "told"), [("value", "other is inf"), ("gradient", "the gradient of other")])
def test_a_term_that_is_not_finite_is_named_and_its_step_not_made(how: str, told: str) -> None:
    lesson = Breaking(how)
    work = train(lesson, OPTIONS)
    good = list(itertools.islice(work, 5))[-1].state()
    with pytest.raises(MethodError, match=f"failed at step 6 of 40: {told}") as caught:
        next(work)
    assert "error" not in str(caught.value)
    for name, tensor in lesson.module.state_dict().items():
        assert torch.equal(tensor, good.module[name])
    assert next(train(Line(), OPTIONS, good)).index == 6


def test_checkpoints_of_others(tmp_path: Path) -> None:
    write_state(tmp_path / "state", next(train(Line(2), OPTIONS)).state(), {})
    with pytest.raises(OptionError, match="of another network"):
        list(train(Line(), OPTIONS, read_state(tmp_path / "state")[0]))
    (tmp_path / "state").write_bytes((tmp_path / "state").read_bytes()[:-9])
    with pytest.raises(PictureError, match="not a whole checkpoint of training"):
        read_state(tmp_path / "state")


def test_the_log_is_gone_on_with(tmp_path: Path) -> None:
    log, steps = Log(tmp_path / "log.csv", 4), list(train(Line(), OPTIONS))
    for step in steps[:14]:
        log.step(step)
    again = Log(tmp_path / "log.csv", 4, done=10)
    for step in steps[10:]:
        again.step(step)
    rows = (tmp_path / "log.csv").read_text().split()
    assert rows[0] == "step,seconds,rate,error"
    assert [int(row.split(",")[0]) for row in rows[1:]] == list(range(4, 41, 4))
