"""The command katazome study styles, as far as it goes without networks."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--contents", "phto.jpg", "--styles", "painting.jpg"),
            "no content 'phto.jpg'; did you mean 'photo.jpg'",
        ),
        (("--contents", "photo.jpg", "--styles", "nowhere"), "there is no style 'nowhere'"),
        (("--contents", "photo.jpg"), "--styles"),
    ],
)
def test_what_is_wrong_is_said_before_any_network_is_opened(
    katazome: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    def never() -> None:
        raise AssertionError("a network was opened")

    monkeypatch.setattr("katazome.cli.study_styles.open_classifier", never)
    assert katazome("study", "styles", *arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--part", "2", "part is '2'; it must be two numbers"),
        ("--size", "32", "size is 32; it must be at least 128"),
        ("--methods", "adan", "no method is called 'adan'; did you mean 'adain'"),
    ],
)
def test_options_that_cannot_be(
    katazome: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    option: str,
    value: str,
    message: str,
) -> None:
    monkeypatch.setattr("katazome.cli.study_styles.open_classifier", lambda *_: None)
    asked = ("study", "styles", "--contents", "photo.jpg", "--styles", "painting.jpg", option, value)
    assert katazome(*asked) == 2
    assert message in capsys.readouterr().err
