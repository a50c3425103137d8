"""The program ``katazome``: the tree of commands, and errors as sentences and exit codes.

What a command needs is imported when it runs: ``katazome --version`` and ``katazome weights``
start without torch.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from cyclopts import App, CycloptsError, Parameter

from katazome import __version__
from katazome.cli.declare import STREAM, Classes, aliases, classes_of, declared, rewrite, spelled
from katazome.errors import KatazomeError, OptionError, nearest, sentence

FAILED, USAGE, INTERRUPTED = 1, 2, 130

app = App(
    name="katazome",
    help="Change the look of pictures through the features of a recognition network.",
    help_format="plaintext",
    help_epilogue="Example:\n  katazome stylize photo.jpg painting.jpg -o out.png",
    version=__version__,
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
    default_parameter=Parameter(negative=()),  # no --no-overwrite and no --empty-set beside each option
)
app.command(
    "katazome.cli.stylize:stylize",
    name="stylize",
    usage="Usage: katazome stylize CONTENT STYLE... [-o OUT] [OPTIONS]",
    help="Restyle a picture with the look of one or several others.",
    help_epilogue="Examples:\n"
    "  katazome stylize photo.jpg painting.jpg -o out.png --size 1024 --strength 0.7\n"
    "  katazome stylize photo.jpg one.jpg two.jpg --blend 3,1 --preview -o - > small.png\n"
    "  katazome stylize photo.jpg --method feedforward --model waves.safetensors -o out.png\n"
    "  katazome stylize photo.jpg night.jpg --where not:mask:tower.png -o out.png\n"
    "  katazome stylize photo.jpg --at mask:sky.png=waves.jpg --at not:mask:sky.png=night.jpg -o out.png",
)
app.command(
    "katazome.cli.material:material",
    name="material",
    usage="Usage: katazome material PHOTO --from MATERIAL --to MATERIAL [-o OUT] [OPTIONS]",
    help="Give a part of a picture the look of another material: turn fabric into stone.",
    help_epilogue="Examples:\n"
    "  katazome material jacket.jpg --from fabric --to stone --model m.safetensors --looks materials/\n"
    "  katazome material cup.jpg --where object:cup --look rust.jpg -o out.png",
)
app.command(
    "katazome.cli.attribute:attribute",
    name="attribute",
    usage="Usage: katazome attribute PHOTO --faces DIR --add ATTRIBUTE [-o OUT] [OPTIONS]",
    help="Give a face an attribute, or take one away, by two sets of faces and without training.",
    help_epilogue="Examples:\n"
    "  katazome attribute face.jpg --faces lfw/ --add Smiling -o out.png\n"
    "  katazome attribute face.jpg --faces lfw/ --remove Eyeglasses --strengths 0.2,0.4,0.6 -o sheet.png\n"
    "  katazome attribute shoe.jpg --target boots/ --source shoes/ --no-align -o out.png\n"
    "  katazome attribute --list --faces lfw/",
)
app.command(
    "katazome.cli.stylize:texture",
    name="texture",
    usage="Usage: katazome texture SOURCE... [-o OUT] [OPTIONS]",
    help="Grow a texture of any size with the look of one or several pictures.",
    help_epilogue="Example:\n  katazome texture bricks.jpg -o wall.png --size 1024x512 --seamless both",
)
app.command(
    "katazome.cli.stylize:resume",
    name="resume",
    usage="Usage: katazome resume CHECKPOINT [-o OUT] [OPTIONS]",
    help="Go on with interrupted work, to the same picture as without the interruption.",
    help_epilogue="Example:\n  katazome resume out.png.checkpoint",
)
app.command(
    "katazome.cli.segment:segment",
    name="segment",
    usage="Usage: katazome segment IMAGE --where REGION [-o MASK] [--overlay SHOW]",
    help="Make a mask of a region of a picture, and a picture that shows it.",
    help_epilogue="Examples:\n"
    "  katazome segment photo.png --where not:transparent -o mask.png\n"
    "  katazome segment photo.jpg --where 'mask:sky.png and not:mask:\"the tower.png\"' --overlay show.jpg",
)
app.command(
    "katazome.cli.replay:replay",
    name="replay",
    usage="Usage: katazome replay RECIPE [CONTENT] --style STYLE [-o OUT] [OPTIONS]",
    help="Give a picture the look of another that this program made, by the recipe inside it.",
    help_epilogue="Examples:\n"
    "  katazome replay out.png other-photo.jpg --style painting.jpg -o other-out.png\n"
    "  katazome replay look.json photo.jpg --style painting.jpg --size 2048 -o large.png",
)
app.command(
    "katazome.cli.batch:batch",
    name="batch",
    usage="Usage: katazome batch PICTURE... --style STYLE -o FOLDER [OPTIONS]",
    help="Restyle many pictures: folders and patterns, several styles, done once, gone on with, shared.",
    help_epilogue="Examples:\n"
    "  katazome batch photos/ --style paintings/ -o out/ --plan\n"
    "  katazome batch photos/ --style paintings/ -o out/ --product --size 1024 --workers 2\n"
    "  katazome batch 'photos/**/*.jpg' --style one.jpg -o out/ --name '{folder}/{content}.{style}{ext}'\n"
    "  katazome batch photos/ --style painting.jpg --recipe look.png -o out/\n"
    "  katazome batch --manifest out/batch/manifest.jsonl --part 2/5",
)
app.command(
    "katazome.cli.info:info",
    name="info",
    usage="Usage: katazome info PICTURE... [--json]",
    help="Say what made a picture, by the recipe inside it.",
    help_epilogue="Examples:\n  katazome info out.png\n  katazome info out.png --json > look.json",
)
app.command(
    "katazome.cli.info:compare",
    name="compare",
    usage="Usage: katazome compare PICTURE PICTURE... [-o SHEET] [OPTIONS]",
    help="Say what differs between pictures in how they were made, and lay them beside each other.",
    help_epilogue="Example:\n  katazome compare a.png b.png c.png -o sheet.png",
)
app.command(
    "katazome.cli.doctor:doctor",
    name="doctor",
    usage="Usage: katazome doctor [--json]",
    help="Say what this machine is and what works on it, for a report of a bug.",
    help_epilogue="Example:\n  katazome doctor",
)
app.command(
    "katazome.cli.filters:app", name="filters", help="Which filters of the network answer to an object."
)
app.command(
    "katazome.cli.export:export",
    name="export",
    usage="Usage: katazome export MODEL -o MODEL.onnx",
    help="Write a network for one style as ONNX, for other programs.",
    help_epilogue="Example:\n  katazome export waves.safetensors -o waves.onnx",
)
app.command("katazome.cli.train:app", name="train", help="Train small networks on your own pictures.")
app.command("katazome.cli.weights:app", name="weights", help="List, fetch and verify the networks' files.")
app.command("katazome.cli.study:app", name="study", help="The measured experiments.")

_COMMANDS = (
    "stylize",
    "material",
    "attribute",
    "texture",
    "resume",
    "replay",
    "batch",
    "segment",
    "info",
    "compare",
    "doctor",
    "filters",
    "train",
    "export",
    "weights",
    "study",
)
_OPTIONED = {
    ("stylize",): "stylize:stylize",
    ("material",): "material:material",
    ("attribute",): "attribute:attribute",
    ("texture",): "stylize:texture",
    ("resume",): "stylize:resume",
    ("replay",): "replay:replay",
    ("batch",): "batch:batch",
    ("filters", "rank"): "filters_rank:rank",
    ("filters", "show"): "filters_show:show",
    ("filters", "select"): "filters_select:select",
    ("train", "decoder"): "train_decoder:decoder",
    ("train", "feedforward"): "train_feedforward:feedforward",
    ("train", "segmenter"): "train_segmenter:segmenter",
    ("train", "wae"): "train_wae:wae",
}
"""Commands whose options are declared by option classes, and where they stand."""

_STREAMED = ("segment", "info", "compare")  # they take - too
_FLAGS = ("--help", "-h", "--version")


def main(arguments: Sequence[str]) -> int:
    """Run the program in this process and return the exit code; a failure is a sentence on stderr."""
    try:
        code = _run(list(arguments))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        _tell("interrupted")
        return INTERRUPTED
    except Exception as error:
        if os.environ.get("KATAZOME_DEBUG", "") == "1":
            traceback.print_exc()
        if _is_broken_pipe(error):
            _forget_stdout()
            return FAILED
        text, code = _sentence(error, arguments)
        _tell(text)
        return code


def run() -> NoReturn:
    """Be the program: arguments from the command line, the exit code to the shell."""
    signal.signal(signal.SIGTERM, _terminated)
    if os.environ.get("KATAZOME_DEBUG", "") != "1":
        warnings.simplefilter("ignore")
    code = main(sys.argv[1:])
    try:
        sys.stdout.flush()
    except OSError:
        _forget_stdout()
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    code = app(rewritten(arguments))
    return code if isinstance(code, int) else 0


def rewritten(arguments: Sequence[str]) -> list[str]:
    """Return the arguments as the parser takes them: with our own names of options, lone ``-`` marked.

    An unknown command is an :class:`OptionError`.
    """
    first = arguments[0] if arguments else "--help"
    if first not in (*_COMMANDS, *_FLAGS):
        kind, known = ("option", _FLAGS) if first.startswith("-") else ("command", _COMMANDS)
        raise OptionError(f"there is no {kind} '{first}'{nearest(first, known)} (known: {', '.join(known)})")
    if words := _optioned(arguments):
        return [*words, *rewrite(arguments[len(words) :], aliases(_classes(words)))]
    return [first, *rewrite(arguments[1:], {})] if first in _STREAMED else list(arguments)


def classes_named(arguments: Sequence[str]) -> Classes | None:
    """Return the option classes of the command at the beginning; None of one without declared options."""
    words = _optioned(arguments)
    return _classes(words) if words else None


def _optioned(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the words at the beginning that name a command with declared options; none where none do."""
    starts = (tuple(arguments[:count]) for count in (1, 2))
    return next((words for words in starts if words in _OPTIONED), ())


def _classes(words: tuple[str, ...]) -> Classes:
    module, _, name = _OPTIONED[words].partition(":")
    return classes_of(getattr(importlib.import_module(f"katazome.cli.{module}"), name))


def _sentence(error: Exception, arguments: Sequence[str]) -> tuple[str, int]:
    if isinstance(error, CycloptsError):
        text = " ".join(str(error).split()).replace(STREAM, "-")
        command = next((a for a in arguments if a in _COMMANDS), "")
        return f"{text} See: {' '.join(('katazome', command)).strip()} --help", USAGE
    if isinstance(error, OptionError) and (words := _optioned(arguments)):
        return spelled(str(error), declared(_classes(words))), error.exit_code
    return sentence(error), error.exit_code if isinstance(error, KatazomeError) else FAILED


def _is_broken_pipe(error: BaseException) -> bool:
    return isinstance(error, BrokenPipeError) or isinstance(error.__cause__, BrokenPipeError)


def _forget_stdout() -> None:
    """Keep Python from complaining, at its end, of what could not be written."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.stdout.fileno())
    os.close(sink)


def _tell(text: str) -> None:
    print(f"katazome: {text}", file=sys.stderr, flush=True)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
    raise KeyboardInterrupt


if __name__ == "__main__":
    run()
