"""A real face through the real networks: the smile goes where the mouth is, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from katazome.api import Session
from katazome.collections.choosing import collection
from katazome.faces.align import frame_of
from katazome.faces.detect import find_faces
from katazome.networks.faces import open_faces
from katazome.pictures.read import read
from katazome.studies.attribute_table import change
from katazome.weights import store
from katazome.weights.flavours import VGGWeights

ASTRONAUT = Path(__file__).parents[2] / "examples/pictures/astronaut.jpg"
EACH = 25


@pytest.mark.slow
def test_a_smile_goes_from_the_mouth(
    shared: Path, vgg: VGGWeights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = collection(shared / "data" / "lfw")
    smiling, not_smiling = (side.nonzero()[0] for side in faces.has("Smiling"))
    for name, numbers in (("smiling", smiling), ("serious", not_smiling)):
        (tmp_path / name).mkdir()
        people: set[str] = set()
        for n in numbers:
            if len(people) < EACH and faces.people[n] not in people:
                people.add(faces.people[n])
                path = faces.sources[n].path
                (tmp_path / name / path.name).write_bytes(path.read_bytes())
    for name in ("mtcnn-pnet", "efficientnet-lite0"):
        store.fetch(name)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "weights").symlink_to(store.home() / "weights")
    monkeypatch.setenv("KATAZOME_HOME", str(tmp_path / "home"))
    with Session(weights=vgg, device="cpu", heap=False) as session:
        sets: dict[str, Any] = {"target": tmp_path / "serious", "source": tmp_path / "smiling"}
        result = session.attribute(ASTRONAUT, **sets, neighbours=EACH, size=96, iterations=20)
    assert result.steps[-1].loss < 0.7 * result.steps[0].loss
    picture = read(ASTRONAUT)
    (face,) = find_faces(open_faces(), picture.pixels)
    frame = frame_of(face.marks(512, 512), 144)
    mouth, elsewhere = change(frame.cut(picture.pixels), frame.cut(result.tensor))
    assert mouth > 2 * elsewhere > 0
    left, top, right, bottom = frame.bounds((512, 512))
    outside = torch.ones(512, 512, dtype=torch.bool)
    outside[top:bottom, left:right] = False
    assert torch.equal(result.tensor[0][:, outside], picture.pixels[0][:, outside])
