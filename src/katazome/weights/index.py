"""The user's package index: pip's configuration, and where an archive is found through it.

pip itself may be absent (uv makes environments without it), so its files and variables are read here:
the global, user and environment's ``pip.conf`` (``pip.ini`` on Windows), then ``PIP_CONFIG_FILE``, then
``PIP_*`` variables, each over the one before. Of a file the sections ``[global]``, ``[install]`` and
``[download]`` count, in this order.
"""

from __future__ import annotations

import configparser
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import url2pathname

import platformdirs
import requests
from pypi_simple import PYPI_SIMPLE_ENDPOINT, NoSuchProjectError, ProjectPage, PyPISimple
from requests.adapters import HTTPAdapter
from urllib3.exceptions import InsecureRequestWarning

from katazome.weights.catalogue import Archive

_SECTIONS = ("global", "install", "download")
_TRUE = {"1", "true", "yes", "on", "y", "t"}


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSettings:
    """Where packages come from on this machine, and how to reach it."""

    indexes: tuple[str, ...] = (PYPI_SIMPLE_ENDPOINT,)
    find_links: tuple[str, ...] = ()
    """Folders, files or pages that list archives."""
    cert: str | None = None
    client_cert: str | None = None
    proxy: str | None = None
    trusted_hosts: tuple[str, ...] = ()
    timeout: float = 30.0
    """Seconds without a byte before the connection is given up."""


class Unreachable(Exception):
    """One index cannot be read or does not have the archive; the message is a clause, without secrets."""


def settings(environ: Mapping[str, str] | None = None) -> IndexSettings:
    """Read pip's configuration as pip would for a download."""
    environ = os.environ if environ is None else environ
    values: dict[str, str] = {}
    for file in _config_files(environ):
        values |= _read(file)
    values |= {
        name[4:].lower().replace("_", "-"): value
        for name, value in environ.items()
        if name.startswith("PIP_") and value
    }
    indexes = (values.get("index-url", PYPI_SIMPLE_ENDPOINT), *values.get("extra-index-url", "").split())
    timeout = values.get("timeout", values.get("default-timeout", ""))
    return IndexSettings(
        indexes=() if values.get("no-index", "").lower() in _TRUE else indexes,
        find_links=tuple(values.get("find-links", "").split()),
        cert=values.get("cert"),
        client_cert=values.get("client-cert"),
        proxy=values.get("proxy"),
        trusted_hosts=tuple(values.get("trusted-host", "").split()),
        timeout=float(timeout) if timeout.replace(".", "", 1).isdigit() else 30.0,
    )


def _config_files(environ: Mapping[str, str]) -> Iterator[Path]:
    chosen = environ.get("PIP_CONFIG_FILE", "")
    if chosen == os.devnull:  # pip's own way of saying "no files at all"
        return
    name = "pip.ini" if sys.platform == "win32" else "pip.conf"
    shared = platformdirs.site_config_dir("pip", appauthor=False, multipath=True)
    yield from (Path(folder) / name for folder in shared.split(os.pathsep))
    if sys.platform != "win32":
        yield Path("/etc") / name
    home = Path.home()
    yield home / ("pip" if sys.platform == "win32" else ".pip") / name
    if sys.platform == "darwin":
        yield home / ".config" / "pip" / name
    yield Path(platformdirs.user_config_dir("pip", appauthor=False, roaming=True)) / name
    yield Path(sys.prefix) / name
    if chosen:
        yield Path(chosen)


def _read(file: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, configparser.Error):
        return {}  # absent, or not ours to mend: pip itself will tell the user
    return {
        key.replace("_", "-").lower(): value
        for section in _SECTIONS
        if parser.has_section(section)
        for key, value in parser.items(section)
    }


class _Unverified(HTTPAdapter):
    """For hosts the user told pip to trust; what is fetched is checked by its hash all the same."""

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        with warnings.catch_warnings():  # urllib3's, which the user has answered already
            warnings.simplefilter("ignore", InsecureRequestWarning)
            return super().send(*args, **kwargs)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:  # noqa: ARG002
        super().cert_verify(conn, url, verify=False, cert=cert)


def session(using: IndexSettings) -> requests.Session:
    """Return an HTTP session with the user's certificates, proxy and trusted hosts."""
    made = requests.Session()
    if using.cert:
        made.verify = using.cert
    if using.client_cert:
        made.cert = using.client_cert
    if using.proxy:
        made.proxies = {"http": using.proxy, "https": using.proxy}
    for host in using.trusted_hosts:
        made.mount(f"https://{host}/", _Unverified())
        made.mount(f"https://{host}:", _Unverified())
    return made


def local_path(place: str) -> Path | None:
    """Return the path a place means when it is on this machine (a path or ``file:`` URL), else None."""
    parts = urlsplit(place)
    if parts.scheme == "file":
        return Path(url2pathname(unquote(parts.path)))
    # One letter is a drive, not a scheme.
    return Path(place).expanduser() if len(parts.scheme) < 2 else None


def shown(place: str) -> str:
    """Return a place fit for a message: names and passwords inside a URL are left out."""
    parts = urlsplit(place)
    if "@" not in parts.netloc:
        return place
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def links(place: str, archive: Archive, using: IndexSettings, http: requests.Session) -> list[str]:
    """Return where ``place`` (an index or a find-links entry) says the archive is: paths or URLs.

    Raises :class:`Unreachable` when it cannot be read or does not have the archive.
    """
    here = local_path(place)
    if here is not None:
        found = _local_links(here, archive, index=place in using.indexes)
    else:
        found = _remote_links(place, archive, using, http)
    if not found:
        raise Unreachable(f"{shown(place)} does not have {archive.file}")
    return found


def _local_links(here: Path, archive: Archive, *, index: bool) -> list[str]:
    page = here
    if here.is_dir():
        if not index:
            file = here / archive.file
            return [str(file)] if file.is_file() else []
        page = here / archive.package / "index.html"
    if not page.is_file():
        return []
    try:
        listed = ProjectPage.from_html(archive.package, page.read_bytes(), page.resolve().as_uri())
    except OSError as error:
        raise Unreachable(f"{page} cannot be read ({error.strerror})") from error
    return _matching(listed, archive)


def _remote_links(place: str, archive: Archive, using: IndexSettings, http: requests.Session) -> list[str]:
    try:
        if place in using.indexes:
            page = PyPISimple(place, session=http).get_project_page(archive.package, timeout=using.timeout)
        else:
            answer = http.get(place, timeout=using.timeout)
            answer.raise_for_status()
            page = ProjectPage.from_response(answer, archive.package)
    except NoSuchProjectError:
        return []
    except OSError as error:  # all of requests' errors are
        raise Unreachable(f"{shown(place)} cannot be reached ({reason(error)})") from error
    except Exception as error:  # a page that is no package index at all: whatever its parser makes of it
        raise Unreachable(f"{shown(place)} does not answer like a package index") from error
    return _matching(page, archive)


def _matching(page: ProjectPage, archive: Archive) -> list[str]:
    offered = [p for p in page.packages if _same(p.filename, archive.file)]
    # An index that announces another hash need not be downloaded from to be refused.
    return [p.url for p in offered if p.digests.get("sha256", archive.sha256) == archive.sha256]


def _same(offered: str, wanted: str) -> bool:
    return offered.strip().lower().replace("-", "_") == wanted.lower().replace("-", "_")


def reason(error: Exception) -> str:
    """Return why a request failed, in a few words and without the URL (it may bear a password)."""
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted; set PIP_CERT to your authority's file"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy refused"
    if isinstance(error, requests.exceptions.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.HTTPError) and error.response is not None:
        return f"it answered {error.response.status_code}"
    if isinstance(error, requests.exceptions.ConnectionError):
        return "no connection"
    if not isinstance(error, requests.exceptions.RequestException):
        return "a certificate file that is set for it is not there"
    return type(error).__name__
