"""A package index of one small source distribution on 127.0.0.1, which can misbehave on purpose."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch
from torch import Tensor

PACKAGE, VERSION, FILE = "toy-weights", "1.2", "toy_weights-1.2.tar.gz"


def pth(tensors: dict[str, Tensor]) -> bytes:
    """Return what torch.save writes."""
    out = io.BytesIO()
    torch.save(tensors, out)
    return out.getvalue()


def sdist(members: dict[str, bytes]) -> bytes:
    """Return a .tar.gz; the same members give the same bytes."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(f"toy_weights-1.2/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), mtime=0)


TOY = {"a.weight": torch.arange(60_000.0).sin(), "a.bias": torch.ones(3)}
OTHER = {"b.weight": torch.full((2, 2), 7.0)}
MEMBERS = {
    # Run by whoever treats the archive as a package; its trace would be an error on import.
    "setup.py": b"raise SystemExit('the code of the package was run')",
    "models/toy.pth": pth(TOY),
    "models/other.pth": pth(OTHER),
}
ARCHIVE = sdist(MEMBERS)


def catalogue_text(archive: bytes = ARCHIVE, mirrors: tuple[str, ...] = ()) -> str:
    """Return a catalogue of two entries, ``toy`` and ``other``, of one archive."""

    def entry(name: str) -> str:
        content = MEMBERS[f"models/{name}.pth"]
        return f"""
            [weights.{name}]
            kind = "toy"
            what = "a toy"
            sha256 = "{hashlib.sha256(content).hexdigest()}"
            size = {len(content)}
            sources = [{{ archive = "toy", member = "toy_weights-1.2/models/{name}.pth" }}]
            licence = "none"
            origin = "a test"
            citation = ""
            preprocessing = ""
        """

    return f"""
        [archives.toy]
        package = "{PACKAGE}"
        version = "{VERSION}"
        file = "{FILE}"
        sha256 = "{hashlib.sha256(archive).hexdigest()}"
        size = {len(archive)}
        licence = "none"
        mirrors = {list(mirrors)}
        {entry("toy")}
        {entry("other")}
    """


@dataclass
class FakeIndex:
    """What the server gives, and what it was asked."""

    url: str = ""
    content: bytes = ARCHIVE
    ranges: bool = True
    announced: str | None = None
    """A SHA-256 written on the page, or none."""
    cuts: list[int] = field(default_factory=list)
    """Bytes after which the next downloads are cut off, one after the other."""
    pause: float = 0.0
    """Seconds between pieces of a tenth."""
    pages: int = 0
    asked: list[str] = field(default_factory=list)
    """The Range header of each download, or an empty string."""

    @property
    def simple(self) -> str:
        return f"{self.url}/simple"

    @property
    def file_url(self) -> str:
        return f"{self.url}/files/{FILE}"


@contextmanager
def serving() -> Iterator[FakeIndex]:
    """Run a fake index for the length of a ``with`` block."""
    index = FakeIndex()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            if self.path.startswith(f"/simple/{PACKAGE}"):
                index.pages += 1
                mark = f"#sha256={index.announced}" if index.announced else ""
                page = f'<a href="../../files/{FILE}{mark}">{FILE}</a> <a href="../../x.whl">x.whl</a>'
                self._answer(200, page.encode(), "text/html")
            elif self.path == f"/files/{FILE}":
                self._file(self.headers.get("Range", ""))
            else:
                self._answer(404, b"no", "text/plain")

        def _answer(self, status: int, content: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _file(self, asked: str) -> None:
            index.asked.append(asked)
            start = int(asked[len("bytes=") : -1]) if asked and index.ranges else 0
            rest = index.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(rest)))
            if start:
                total = len(index.content)
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            self.end_headers()
            if index.cuts:
                rest = rest[: index.cuts.pop(0)]
            step = max(1, len(index.content) // 10)
            for at in range(0, len(rest), step):
                try:
                    self.wfile.write(rest[at : at + step])
                except OSError:  # the other side was killed
                    return
                time.sleep(index.pause)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    index.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
