"""pip's configuration as pip would read it, and what a place may say."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import requests
from pypi_simple import PYPI_SIMPLE_ENDPOINT

from katazome.weights.catalogue import Archive
from katazome.weights.index import (
    IndexSettings,
    Unreachable,
    links,
    local_path,
    reason,
    session,
    settings,
    shown,
)

ARCHIVE = Archive(
    package="toy-weights",
    version="1.2",
    file="toy_weights-1.2.tar.gz",
    sha256="ab" * 32,
    size=1,
    licence="",
)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and an environment of its own; machine-wide files cannot be moved, so they are passed over."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "xdg"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    read_text = Path.read_text

    def only_here(self: Path, *args: str, **keywords: str) -> str:
        if tmp_path not in self.parents:
            raise FileNotFoundError(self)
        return read_text(self, *args, **keywords)

    monkeypatch.setattr(Path, "read_text", only_here)
    return tmp_path


def put(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_without_any_configuration_it_is_the_public_index(folders: Path) -> None:
    assert settings({}) == IndexSettings(indexes=(PYPI_SIMPLE_ENDPOINT,))


@pytest.mark.skipif(sys.platform != "linux", reason="the places of pip's files on Linux")
def test_later_files_win_and_variables_win_over_files(folders: Path) -> None:
    put(folders / "xdg" / "pip" / "pip.conf", "[global]\nindex-url = https://a.example/\ncert = /a.pem\n")
    put(folders / ".pip" / "pip.conf", "[global]\nindex_url = https://b.example/\n")
    put(folders / "config" / "pip" / "pip.conf", "[global]\nindex-url = https://c.example/\n")
    assert settings({}).indexes == ("https://c.example/",)
    put(folders / "venv" / "pip.conf", "[global]\nindex-url = https://d.example/\n")
    put(folders / "mine", "[global]\ntimeout = 7\n[install]\nindex-url = https://e.example/\n")
    chosen = {"PIP_CONFIG_FILE": str(folders / "mine")}
    assert settings({}).indexes == ("https://d.example/",)
    assert settings(chosen).indexes == ("https://e.example/",)
    found = settings(chosen | {"PIP_INDEX_URL": "https://f.example/", "PIP_PROXY": "http://p:1"})
    assert (found.indexes, found.cert, found.timeout) == (("https://f.example/",), "/a.pem", 7.0)
    assert found.proxy == "http://p:1"
    assert settings({"PIP_CONFIG_FILE": os.devnull}).cert is None


def test_lists_and_no_index(folders: Path) -> None:
    put(folders / "mine", "[global]\nextra-index-url =\n    https://x.example/\n    https://y.example/\n")
    found = settings(
        {"PIP_CONFIG_FILE": str(folders / "mine"), "PIP_FIND_LINKS": "a b", "PIP_TRUSTED_HOST": "h"}
    )
    assert found.indexes == (PYPI_SIMPLE_ENDPOINT, "https://x.example/", "https://y.example/")
    assert (found.find_links, found.trusted_hosts) == (("a", "b"), ("h",))
    assert settings({"PIP_NO_INDEX": "1"}).indexes == ()


@pytest.mark.parametrize("text", ["no section\n", "[global\n", "\x00"])
def test_a_broken_file_is_passed_over(folders: Path, text: str) -> None:
    put(folders / "mine", text)
    assert settings({"PIP_CONFIG_FILE": str(folders / "mine")}).indexes == (PYPI_SIMPLE_ENDPOINT,)


def test_session_takes_certificate_proxy_and_trusted_hosts() -> None:
    using = IndexSettings(cert="/c.pem", client_cert="/k.pem", proxy="http://p:1", trusted_hosts=("h",))
    with session(using) as http:
        assert (http.verify, http.cert, http.proxies["https"]) == ("/c.pem", "/k.pem", "http://p:1")
        trusted, other = http.get_adapter("https://h/simple"), http.get_adapter("https://other/simple")
        assert type(trusted) is not type(other)
        assert http.get_adapter("https://h:8443/") is not other
        assert type(http.get_adapter("https://host.example/")) is type(other)


def test_names_and_passwords_are_never_shown() -> None:
    assert shown("https://me:pw@host.example:8/simple") == "https://host.example:8/simple"
    assert shown("https://host.example/simple") == "https://host.example/simple"


def test_local_paths(tmp_path: Path) -> None:
    assert local_path(tmp_path.as_uri()) == tmp_path
    assert local_path((tmp_path / "a b").as_uri()) == tmp_path / "a b"
    assert local_path(str(tmp_path)) == tmp_path
    assert local_path("https://host.example/x") is None


def test_a_folder_or_a_page_of_links(tmp_path: Path) -> None:
    using = IndexSettings(indexes=())
    with session(using) as http:
        with pytest.raises(Unreachable, match=r"does not have toy_weights-1\.2\.tar\.gz"):
            links(str(tmp_path), ARCHIVE, using, http)
        (tmp_path / ARCHIVE.file).write_bytes(b"x")
        assert links(str(tmp_path), ARCHIVE, using, http) == [str(tmp_path / ARCHIVE.file)]
        page = tmp_path / "links.html"
        page.write_text('<a href="toy_weights-1.2.tar.gz">Toy-Weights-1.2.tar.gz</a> <a href="y">y</a>')
        found = links(str(page), ARCHIVE, using, http)
        assert [local_path(link) for link in found] == [tmp_path / ARCHIVE.file]
        page.write_text(f'<a href="toy_weights-1.2.tar.gz#sha256={"0" * 64}">toy_weights-1.2.tar.gz</a>')
        with pytest.raises(Unreachable):
            links(str(page), ARCHIVE, using, http)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (requests.exceptions.SSLError(), "PIP_CERT"),
        (requests.exceptions.ProxyError(), "proxy"),
        (requests.exceptions.ConnectTimeout(), "in time"),
        (requests.exceptions.ConnectionError("http://u:pw@h/"), "no connection"),
        (OSError("no bundle"), "certificate file"),
        (requests.exceptions.InvalidSchema("pw"), "InvalidSchema"),
    ],
)
def test_reasons_are_short_and_without_urls(error: Exception, told: str) -> None:
    assert told in reason(error)
    assert "pw" not in reason(error)
