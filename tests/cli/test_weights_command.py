"""The commands about network files, in this process, on an empty store and on the real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from katazome.cli.download import Download
from katazome.cli.main import main
from katazome.weights import catalogue, own, store


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KATAZOME_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KATAZOME_OFFLINE", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return tmp_path


def test_list_says_terms_and_whether_it_is_here(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "list"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    for name, entry in catalogue.entries().items():
        assert name in told
        assert entry.licence in told
        assert entry.origin in told
        assert f"{entry.size / 1e6:.1f} MB" in told
        assert f"not here yet: katazome weights fetch {name}" in told
    for model in own.models():
        assert model.name in told
        assert model.card["terms"] in told
        assert model.card["limits"] in told
        assert all(f"{folder} {count}" in told for folder, count in model.card["data"].items())
    assert {"decoder-relu1_1", "decoder-relu2_1", "decoder-relu3_1"} <= {m.name for m in own.models()}


def test_the_models_that_come_along_are_small() -> None:
    assert sum(model.size for model in own.models()) < 24_000_000
    with pytest.raises(ValueError, match="no safetensors file"):
        own.card(b"\xff" * 20)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["path"], 1, "run `katazome weights fetch vgg19` once"),
        (["verify"], 1, "no weights are on this machine yet"),
        (["verify", "vgg19"], 1, "run `katazome weights fetch vgg19` once"),
        (["fetch"], 1, "KATAZOME_OFFLINE forbids fetching them"),
        (["fetch", "vgg16"], 2, "did you mean 'vgg19'"),
        (["fetch", "--from", "nothing.tar.gz"], 2, "nothing.tar.gz cannot be read"),
    ],
)
def test_what_is_not_here(
    empty: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, told: str
) -> None:
    assert main(["weights", *arguments]) == code
    out, err = capsys.readouterr()
    assert told in err
    assert len(err.splitlines()) == 1
    assert not out


def test_stylize_without_weights_says_what_to_do(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = Path(__file__).parents[2] / "examples/pictures"
    given = [str(pictures / "coffee.jpg"), str(pictures / "wheat_field.jpg"), "-o", str(empty / "o.png")]
    assert main(["stylize", *given]) == 1
    assert "run `katazome weights fetch vgg19`" in capsys.readouterr().err


def test_what_is_here(vgg: object, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(store.path("vgg19"))
    assert main(["weights", "path"]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    assert main(["weights", "fetch", "vgg19"]) == 0
    assert capsys.readouterr() == (f"{path}\n", "")
    assert main(["weights", "fetch", "vgg19", "--from", __file__]) == 2
    assert "is not the archive that holds 'vgg19'" in capsys.readouterr().err
    assert main(["weights", "verify", "vgg19"]) == 0
    assert capsys.readouterr().out.startswith("vgg19: whole, ")
    assert main(["weights", "list"]) == 0
    assert path in capsys.readouterr().out


def test_a_damaged_file_is_told(
    vgg: object, empty: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KATAZOME_HOME")
    source = store.path("vgg19")
    monkeypatch.setenv("KATAZOME_HOME", str(empty / "home"))
    folder = empty / "home/weights"
    folder.mkdir(parents=True)
    (folder / source.name).write_bytes(bytes(source.stat().st_size))
    (folder / source.with_suffix(".json").name).write_bytes(source.with_suffix(".json").read_bytes())
    assert main(["weights", "verify"]) == 1
    assert "is damaged" in capsys.readouterr().err


def test_a_download_is_told_in_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Download("weights x") as progress:
        for done in range(0, 101, 5):
            progress(done * 10**6, 10**8)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "weights x: 0 MB, 0 %"
    assert lines[-1] == "weights x: 100 MB, 100 %"
    assert len(lines) == 11
    with Download("weights x", quiet=True) as progress:
        progress(1, 2)
    assert not capsys.readouterr().err
