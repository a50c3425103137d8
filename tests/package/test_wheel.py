"""The built wheel, installed in an empty environment and run outside the repository."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from katazome.weights.store import home

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(folder),
        str(ROOT),
    ]
    subprocess.run(command, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
def test_what_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    top = {name.split("/")[0] for name in names}
    assert top == {"katazome", f"katazome-{wheel.name.split('-')[1]}.dist-info"}
    data = ("py.typed", "weights/catalogue.toml", "networks/imagenet.tsv", "networks/groups.tsv")
    assert {f"katazome/{name}" for name in data} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    sizes = {name: zipfile.ZipFile(wheel).getinfo(name).file_size for name in names}
    models = {name: size for name, size in sizes.items() if "/weights/models/" in name}
    assert {f"katazome/weights/models/decoder-relu{level}_1.safetensors" for level in (1, 2, 3)} <= set(
        models
    )
    assert sum(models.values()) < 24_000_000
    assert sum(sizes.values()) - sum(models.values()) < 2_000_000


@pytest.mark.slow
def test_the_wheel_alone_restyles_a_picture(wheel: Path, tmp_path: Path, vgg: object) -> None:
    venv.create(tmp_path / "empty", with_pip=True)
    scripts = tmp_path / "empty" / ("Scripts" if os.name == "nt" else "bin")
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    subprocess.run([str(scripts / "python"), *install, *constraints, str(wheel)], check=True)

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("coffee", "wheat_field"):
        (elsewhere / f"{name}.jpg").write_bytes((ROOT / f"examples/pictures/{name}.jpg").read_bytes())
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment = {**clean, "KATAZOME_HOME": str(home()), "KATAZOME_OFFLINE": "1"}

    def ran(*arguments: str) -> str:
        done = subprocess.run(
            [scripts / "katazome", *arguments], cwd=elsewhere, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    version = wheel.name.split("-")[1]
    assert ran("--version").strip() == version
    ran("stylize", "coffee.jpg", "wheat_field.jpg", "--size", "96", "--iterations", "2", "-o", "out.png")
    with Image.open(elsewhere / "out.png") as image:
        assert image.size == (96, 64)
    assert "vgg19" in ran("weights", "list")
