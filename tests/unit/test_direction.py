"""Directions in feature space by hand, and the target of features over their norm."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from katazome.errors import MethodError
from katazome.losses.base import Window
from katazome.losses.feature_target import UnitTarget
from katazome.statistics.direction import Direction, RunningMean, by_norm, norm, pushed


def maps(*values: float) -> dict[str, Tensor]:
    """Two layers of one channel: the first has the first two values, the second the rest."""
    return {
        "relu3_1": torch.tensor(values[:2]).view(1, 1, 1, 2),
        "relu4_1": torch.tensor(values[2:]).view(1, 1, 1, -1),
    }


FEATURES, W = maps(3.0, 4.0, 0.0, 12.0), maps(0.0, 2.0, 3.0, 4.0)


def flat(found: dict[str, Tensor]) -> list[float]:
    return [round(float(v), 6) for m in found.values() for v in m.flatten()]


def test_the_conventions_by_hand() -> None:
    # |phi_3| = 5, |w_3| = 2, |phi_4| = 12, |w_4| = 5; mean(w^2) = 29 / 4
    layer = [3, 4 + 0.5 * 5, 0.5 * 12 / 5 * 3, 12 + 0.5 * 12 / 5 * 4]
    assert flat(pushed("layer", 0.5, FEATURES, W)) == pytest.approx(layer)
    beta = 0.5 * 4 / 29
    assert flat(pushed("beta", 0.5, FEATURES, W)) == pytest.approx(
        [3, 4 + 2 * beta, 3 * beta, 12 + 4 * beta], rel=1e-5
    )
    assert flat(pushed("plain", 0.5, FEATURES, W)) == [3, 5, 1.5, 14]
    unit = 0.5 / 29**0.5
    expected = [3 / 13, 4 / 13 + 2 * unit, 3 * unit, 12 / 13 + 4 * unit]
    assert flat(pushed("unit", 0.5, FEATURES, W)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("convention", ["layer", "beta", "plain"])
def test_nothing_is_pushed_by_nothing_and_back_by_minus(convention: str) -> None:
    assert flat(pushed(convention, 0.0, FEATURES, W)) == flat(FEATURES)
    there, back = (pushed(convention, s, FEATURES, W) for s in (0.7, -0.7))
    for name, own in FEATURES.items():
        torch.testing.assert_close((there[name] + back[name]) / 2, own)


def test_a_direction_without_length_is_refused() -> None:
    with pytest.raises(MethodError, match="look the same"):
        pushed("layer", 0.4, FEATURES, {name: torch.zeros_like(w) for name, w in W.items()})


def test_lengths_are_of_all_layers_together() -> None:
    assert float(norm(FEATURES.values())) == 13
    double = {name: torch.cat((m, 2 * m)) for name, m in FEATURES.items()}
    for row in range(2):
        one = {name: m[row : row + 1] for name, m in by_norm(double).items()}
        assert float(norm(one.values())) == pytest.approx(1)


def test_means_stream() -> None:
    draw = torch.Generator().manual_seed(0)
    rows = torch.randn(7, 3, 2, 2, generator=draw)
    mean = RunningMean()
    for part in (rows[:2], rows[2:3], rows[3:]):
        mean.add({"relu3_1": part})
    torch.testing.assert_close(mean.maps()["relu3_1"], rows.mean(0, keepdim=True))
    assert mean.count == 7


def test_a_direction_comes_back_from_its_tensors() -> None:
    made = Direction(W, torch.rand(1, 3, 8, 8), torch.eye(2, 3).double(), 8, True, False, {"by": "features"})
    again = Direction.of(made.tensors(), made.to_json())
    assert again.sha256 == made.sha256
    assert again.facts == made.facts
    assert (
        Direction.of({**made.tensors(), "pixels": torch.zeros(1, 3, 8, 8)}, made.to_json()).sha256
        != made.sha256
    )
    with pytest.raises(KeyError):
        Direction.of({}, made.to_json())


def test_the_unit_target_by_hand_and_in_parts() -> None:
    draw = torch.Generator().manual_seed(1)
    features = {"relu3_1": torch.rand(1, 3, 4, 8, generator=draw, dtype=torch.float64)}
    target = {"relu3_1": torch.rand(1, 3, 4, 8, generator=draw, dtype=torch.float64)}
    loss = UnitTarget(target)
    whole = loss.value(loss.partial(features, Window(0, 16, 0, 32)))
    own = features["relu3_1"]
    torch.testing.assert_close(whole, (own / own.norm() - target["relu3_1"]).square().sum())
    parts = [Window(0, 16, 0, 16), Window(0, 16, 16, 32)]
    shares = [loss.partial({"relu3_1": w.cut(own, "relu3_1")}, w) for w in parts]
    torch.testing.assert_close(loss.value({k: shares[0][k] + shares[1][k] for k in shares[0]}), whole)
