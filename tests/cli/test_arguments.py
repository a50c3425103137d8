"""From declarations to arguments: names, help, aliases, lists, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from katazome.api import get_method, list_methods
from katazome.cli import declare, settings, stylize
from katazome.cli.main import main
from katazome.cli.settings import StylizeSettings
from katazome.errors import OptionError
from katazome.options import Options, info_of, option

RESTYLING = stylize.CLASSES["stylize"]
GROWING = stylize.CLASSES["texture"]


@dataclass(frozen=True, slots=True, kw_only=True)
class One(Options):
    depth: int = option(3, help="How deep", low=0, aliases=("deepness",))
    dark: str = option("no", help="How dark", choices=("no", "very"), aliases=("night=very",))
    shares: tuple[float, ...] | None = option(None, help="Shares")
    marked: bool = option(True, help="Put a mark on it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Two(One):
    depth: int = option(5, help="How deep")
    width: float | None = option(None, help="How wide", low=1, high=2)


def test_the_union_keeps_who_declares_what() -> None:
    found = declare.declared({"one": One, "two": Two})
    assert list(found) == ["depth", "dark", "shares", "marked", "width"]
    assert found["depth"].owners == ("one", "two")
    assert found["depth"].default_text() == "3, 5 (two)"
    assert found["width"].owners == ("two",)
    assert [o.kind for o in found.values()] == [int, str, tuple, bool, float]


def test_every_option_of_every_method_is_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    for command, classes in (("stylize", RESTYLING), ("texture", GROWING)):
        assert main([command, "--help"]) == 0
        told = capsys.readouterr().out
        for o in declare.declared(classes).values():
            assert (f"--no-{o.name} " if next(iter(o.defaults.values())) is True else f"{o.flag} ") in told
        for name, alias in declare.aliases(classes).items():
            assert f"{name} " not in told or alias.flag == name
        for method in list_methods():
            if method.name in classes:
                assert all(preset in told for preset in method.presets)


def test_no_alias_is_declared_twice_for_different_options() -> None:
    for classes in stylize.CLASSES.values():
        seen: dict[str, str] = {}
        for cls in classes.values():
            for name, info in ((f.name, info_of(f)) for f in cls.__dataclass_fields__.values()):
                for alias in info.aliases:
                    assert seen.setdefault(alias.partition("=")[0], name) == name


NAMES = declare.aliases({"": One})


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("a --deepness 3 b", "a --depth 3 b"),
        ("--deepness=3", "--depth=3"),
        ("--night a", "--dark very a"),
        ("--night 1 a", "--dark very a"),
        ("--night=1 a", "--dark very a"),
        ("--night 0 a", "a"),
        ("--night=no", ""),
        ("-- --deepness 3", "-- --deepness 3"),
        ("--depth 3 -o x", "--depth 3 -o x"),
        ("- -o -", "@ -o @"),
        ("-o=- --out=-", "-o=@ --out=@"),
    ],
)
def test_names_of_other_programs(given: str, meant: str) -> None:
    assert declare.rewrite(given.split(), NAMES) == meant.replace("@", declare.STREAM).split()


def test_a_switch_takes_no_other_value() -> None:
    with pytest.raises(OptionError, match="--night is 'moon'"):
        declare.rewrite(["--night=moon"], NAMES)


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ("--image-size 300", "size", "300"),
        ("--image_size=300", "size", "300"),
        ("--num-iterations 7", "iterations", 7),
        ("--original-colors 1", "color", "luma"),
        ("--original-colors", "color", "luma"),
        ("--alpha 0.25", "strength", 0.25),
        ("--style_scale 2", "style_scale", 2.0),
        ("--blend 3,1", "blend", "3,1"),
        ("--style-layers relu1_1,r21", "style_layers", "relu1_1,r21"),
        ("--init nothing.png", "init", "nothing.png"),
        ("--seed 9", "seed", 9),
        ("--preview", "preview", "small"),
        ("--preview instant", "preview", "instant"),
        ("--preview=no", "preview", "no"),
        ("--no-recipe", "no_recipe", True),
        ("-o out.png", "output", "out.png"),
        ("-o -", "output", "-"),
    ],
)
def test_what_is_given_arrives(given: str, name: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    got: dict[str, Any] = {}

    def body(*pictures: str, **options: Any) -> int:
        got.update(options, pictures=pictures)
        return 0

    from katazome.cli import main as program

    app = declare.command(
        body,
        [declare.argument("content", ""), declare.argument("style", "", several=True)],
        RESTYLING,
    )
    monkeypatch.setattr(stylize, "stylize", app)
    program.app.command(app, name="probe")
    try:
        tokens = declare.rewrite(["-", "b.png", *given.split(), "c.png"], declare.aliases(RESTYLING))
        program.app(["probe", *tokens])
    finally:
        del program.app._commands["probe"]
    assert got.pop("pictures") == ("-", "b.png", "c.png")
    assert got == {name: value}


def test_flags_that_say_no_are_turned_round() -> None:
    assert declare.values_of(One, {"marked": True, "depth": 3, "size": "3"}) == {"marked": False, "depth": 3}


def test_messages_spell_options_as_the_command_line_does() -> None:
    text = "style_scale is 20 and --style-scale is size"
    assert declare.spelled(text, ["style_scale", "size"]) == ("--style-scale is 20 and --style-scale is size")


@pytest.mark.parametrize(
    "command", ["stylize", "texture", "resume", "replay", "info", "compare", "doctor", "weights", "study"]
)
def test_help_of_every_command_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert f"katazome {command}" in capsys.readouterr().out.partition("Example")[2]


@pytest.mark.parametrize("command", ["list", "fetch", "path", "verify"])
def test_help_of_the_weights_commands(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", command, "--help"]) == 0
    assert f"katazome weights {command}" in capsys.readouterr().out.partition("Example")[2]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("styliz a b", "did you mean 'stylize'"),
        ("--bogus", "there is no option '--bogus'"),
        ("stylize a b --sise 3", "Did you mean --size?"),
        ("stylize a b --strength lots", 'unable to convert "lots" into float'),
        ("stylize a b --strength", "requires an argument"),
        ("stylize a b --size 1 --image-size 2", "specified multiple times"),
        ("stylize", "requires an argument"),
        ("stylize photo.jpg", "no style picture was given"),
        ("texture", "no source picture was given"),
        ("resume", "requires an argument"),
        ("weights fetsh", 'Did you mean "fetch"?'),
        ("weights path vgg16", "did you mean 'vgg19'"),
    ],
)
def test_what_is_not_understood(arguments: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(arguments.split())
    out, err = capsys.readouterr()
    assert code == 2
    assert told in err
    assert err.startswith("katazome: ")
    assert len(err.splitlines()) == 1
    assert not out


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("--strength 2", "strength is 2; it must be 0..1"),
        ("--style-scale 20", "--style-scale is 20; it must be 0.05..10"),
        ("--optimizer adma", "did you mean 'adam'"),
        ("--strength 1 --content-weight 2", "strength and --content-weight both say"),
        ("--layer-weights 1,2", "--layer-weights has 2 numbers for 5 style layers"),
        ("--blend 1,2", "blend has 2 shares for 1 style pictures"),
        ("--blend a", "blend is ('a',)"),
        ("--style-layers relu9_9", "relu9_9"),
        ("--style-layers relu3_l", "did you mean 'relu3_"),
        ("--method gatsy", "did you mean 'gatys'"),
        ("--method texture", "use `katazome texture`"),
        (
            "--method gatys --octaves 2",
            "gatys has no --octaves; it belongs to --method material, ",
        ),
        (
            "--method multiscale --preset seed0",
            "multiscale has no preset 'seed0'; it belongs to --method filters and --method gatys",
        ),
        ("--method multiscale --preset none", "multiscale has no preset 'none'"),
        ("--size huge", "size is 'huge'"),
        ("--size 16", "too small for"),
        ("--depth 12", "depth is 12; it must be 8 or 16"),
        ("--depth 16 -o out.jpg", "only PNG and TIFF hold 16 bits"),
        ("-o out.xyz", "cannot tell the format"),
        ("-o nowhere/out.png", "there is no folder 'nowhere'"),
        ("--device abacus", "device is 'abacus'"),
        ("--init nothing.png", "there is no file 'nothing.png'"),
        ("-o - --save-every 5", "--save-every needs a file"),
        ("--init -  -", "standard input (-) is given twice"),
        ("--weights nothing.pth", "there is no weights file nothing.pth"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    given: str,
    told: str,
    katazome: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "--weights" in given:
        from katazome.weights.flavours import open_vgg

        monkeypatch.setattr(settings, "open_vgg", open_vgg)
    code = katazome("stylize", "photo.jpg", "painting.jpg", "--quiet", *given.split())
    out, err = capsys.readouterr()
    assert told in err
    assert code == (1 if "nowhere" in given else 2)
    assert len(err.splitlines()) == 1
    assert not out


def test_the_default_method_restyles() -> None:
    assert get_method(StylizeSettings().method).content
