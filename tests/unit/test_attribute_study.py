"""The study of attributes: its measures and its judges, on made things."""

from __future__ import annotations

import pytest
import torch

from katazome.errors import OptionError
from katazome.studies.attribute_arms import ARMS, WISHES, asked_for
from katazome.studies.attribute_table import MOUTH, change, summary
from katazome.studies.faces import SEEN, JudgeNet, _balanced, _Lesson, discriminant, verified
from katazome.training.trainer import TrainingOptions, train


def test_change_at_the_mouth_and_elsewhere() -> None:
    before = torch.full((1, 3, 100, 100), 0.5)
    left, top, right, bottom = (round(share * 100) for share in MOUTH)
    after = before.clone()
    after[..., top:bottom, left:right] += 0.1
    after[..., 0, 0] -= 0.5
    mouth, elsewhere = change(before, after)
    assert mouth == pytest.approx(25.5, rel=1e-4)
    others = 10000 - (bottom - top) * (right - left)
    assert elsewhere == pytest.approx(127.5 / others, rel=1e-4)


def row(arm: str, told: float, **more: float) -> dict[str, object]:
    plain = {"told before": 0.1, "told": told, "told, blended": told, "likeness": 0.5}
    plain |= {
        "mouth": 10.0,
        "elsewhere": 4.0,
        "mouth, blended": 10.0,
        "elsewhere, blended": 2.0,
        "frame": 0.5,
    }
    return {"arm": arm, **plain, "seconds, sets": 1.0, "seconds, edit": 2.0, **more}


def test_the_table_has_a_line_for_each_arm() -> None:
    rows = [row("a", 0.9), row("a", 0.4, likeness=0.1), row("b", 0.6)]
    first, second = summary(rows, 0.3)
    assert (first["arm"], first["faces"], first["told %"], first["told before %"]) == ("a", 2, 50, 0)
    assert first["same person %"] == 50
    assert (first["ratio"], first["ratio, blended"], first["seconds"]) == (2.5, 5.0, 3)
    left, top, right, bottom = MOUTH
    mouth = (right - left) * (bottom - top)  # of the frame, and the frame is half of the picture
    assert first["ratio, picture"] == round(10 / (4 * (1 - mouth) * 0.5 / (1 - mouth * 0.5)), 1)
    assert second["told %"] == 100


def test_arms_are_named_once_and_wish_for_what_there_is() -> None:
    assert len({arm.name for arm in ARMS}) == len(ARMS)
    assert {arm.wish for arm in ARMS} <= set(WISHES)


def test_the_judge_learns_what_is_to_be_seen() -> None:
    draw = torch.Generator().manual_seed(0)
    faces = torch.rand(120, 3, SEEN, SEEN, generator=draw) * 0.5
    labels = (torch.arange(120) % 2).float()[:, None].repeat(1, 2)
    labels[:, 1] = torch.nan
    labels[:4, 1] = labels[:4, 0]  # of the second attribute little is sure
    faces[labels[:, 0] == 1, :, 30:40, 14:34] += 0.5
    seen = (faces * 255).byte()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = JudgeNet(2)
        for _ in train(_Lesson(net, seen[:80], labels[:80], 16), TrainingOptions(steps=25)):
            pass
    net.eval()
    assert _balanced(net, seen[80:], labels[80:].nan_to_num())[0] > 0.9


def test_fishers_discriminants_tell_people() -> None:
    draw = torch.Generator().manual_seed(1)
    people = [f"p{n // 4}" for n in range(160)]
    own = torch.randn(40, 12, generator=draw).repeat_interleave(4, 0)
    rows = torch.zeros(160, 40)
    rows[:, :12] = own + 0.3 * torch.randn(160, 12, generator=draw)
    rows[:, 12:] = 3 * torch.randn(160, 28, generator=draw)  # louder, and about nobody
    mean, matrix = discriminant(rows[:120], people[:120])
    told = torch.nn.functional.normalize((rows[120:] - mean) @ matrix, dim=1)
    plain = torch.nn.functional.normalize(rows[120:] - mean, dim=1)
    assert verified(told, people[120:])[0] > verified(plain, people[120:])[0] + 0.1


def test_verification_by_hand() -> None:
    vectors = torch.eye(3).repeat_interleave(2, 0)
    auc, threshold, error = verified(vectors, ["a", "a", "b", "b", "c", "c"])
    assert auc == 1
    assert threshold == 1
    assert error < 0.2


def test_arms_by_name() -> None:
    assert asked_for(()) == ARMS
    assert [arm.name for arm in asked_for(("pixels x2", "layer 0.4"))] == ["pixels x2", "layer 0.4"]
    with pytest.raises(
        OptionError, match=r"no arm of the study is called 'layer 04'.*did you mean.*layer 0.4"
    ):
        asked_for(("layer 04",))
