"""What can be asked of the command line beyond a method's own options, declared as those are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from katazome.api import DEFAULT_METHOD
from katazome.cli.crew import on_option, threads_option, workers_option
from katazome.cli.download import Download
from katazome.jobs.batch import COMBINE, NAME
from katazome.methods.options import PREVIEWS
from katazome.options import Options, option
from katazome.weights.flavours import VGGWeights, open_vgg


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine(Options):
    """Where to work, and how much to say."""

    quiet: bool = option(False, help="Say nothing but errors", group="Output")
    device: str = option(
        "auto", help="Where to compute: auto, cpu, cuda, cuda:N or mps", aliases=("accel",), group="Machine"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WithNetwork(Machine):
    """With what network."""

    weights: str | None = option(
        None,
        help="File of VGG-19 weights: normalised, torchvision's or Caffe's. "
        "Open: the normalised ones of the catalogue, fetched at the first use",
        group="Machine",
    )

    def network(self) -> VGGWeights:
        """Open the network that was asked for; fetched, with a bar, the first time ever."""
        with Download("weights vgg19", quiet=self.quiet) as progress:
            return open_vgg(self.weights, progress=progress)


def decoders_option() -> Any:
    """Declare ``decoders``, for commands that may run a method that decodes."""
    return option(
        (),
        help="File of a decoder, as `katazome train decoder` makes it, instead of the program's own of its "
        "layer; may be given several times",
        repeats=True,
        group="Machine",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Common(WithNetwork):
    """Where the result goes."""

    output: str | None = option(
        None,
        help="File of the result; its suffix is the format, - is standard output (PNG). "
        "Open: a name made from those of the inputs, in this folder",
        aliases=("out", "output-image"),
        group="Output",
    )
    overwrite: bool = option(False, help="Replace the result's file if it is there already", group="Output")


@dataclass(frozen=True, slots=True, kw_only=True)
class MakingSettings(Common):
    """A new piece of work, whatever it is made from."""

    depth: int = option(8, help="Bits a sample: 8, or 16 (PNG and TIFF)", group="Output")
    no_recipe: bool = option(
        False,
        help="Leave the recipe (options, versions, hashes) out of the result's metadata",
        group="Output",
    )
    save_every: int = option(
        0,
        help="Write the picture so far, and a checkpoint beside it, every so many iterations; "
        "0: only when interrupted",
        low=0,
        aliases=("save-iter", "checkpoint-iterations"),
        group="Output",
    )
    plan: bool = option(False, help="Say size, memory and time expected, and stop", group="Output")
    preset: str | None = option(None, help="Named settings; options given here count more", group="Look")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkSettings(MakingSettings):
    """A new piece of work with styles."""

    preview: str = option(
        "no",
        help="Foretell the picture: by a small one of the same method (small, also where nothing is said "
        "after it), or by one of adain, in one pass, as large as asked for (instant)",
        choices=PREVIEWS,
        aliases=("preview=small",),
        group="Picture",
    )
    devices: tuple[str, ...] = option(
        (),
        help="Share the tiles of the picture among processes, one for each device named: cuda:0,cuda:1 or "
        "cpu,cpu",
        group="Machine",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSettings(WorkSettings):
    """What stands beside a recipe, which names no files."""

    mask: tuple[str, ...] = option(
        (),
        help="Mask for a recipe with mask:file in it; of several each by a --mask of its own, in order",
        repeats=True,
        group="Look",
    )
    other_style: bool = option(
        False, help="Take other styles than a recipe's, or another picture to start from", group="Look"
    )
    other_weights: bool = option(False, help="Take another network or model than a recipe's", group="Look")


@dataclass(frozen=True, slots=True, kw_only=True)
class StylizeSettings(RecordedSettings):
    """A photograph restyled."""

    method: str = option(DEFAULT_METHOD, help="How the look is described", group="Look")
    decoders: tuple[str, ...] = decoders_option()
    recipe: str | None = option(
        None,
        help="Method and options from a recipe, in a picture or a file of `katazome info --json`; "
        "options given here count more",
        group="Look",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySettings(RecordedSettings):
    """The look of a picture, from the recipe inside it, once more."""

    style: tuple[str, ...] = option(
        (),
        help="The recipe's style picture; of several each by a --style of its own",
        repeats=True,
        group="Look",
    )
    device: str = option("", help="Where to compute; open: as the recipe has it", group="Machine")


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterialSettings(WorkSettings):
    """A region that takes the look of another material."""

    looks: tuple[str, ...] = option(
        (),
        help="Folder with a folder of pictures for each material, or NAME=FOLDER; may be given several times",
        repeats=True,
        group="Look",
    )
    look: str = option("", help="Picture of what it becomes, instead of --to and --looks", group="Look")
    blended: int = option(
        1, help="How many of the most typical pictures make the look together; 0: all", low=0, group="Look"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeSettings(MakingSettings):
    """A face that is given an attribute."""

    faces: str | None = option(
        None, help="Folder of a collection of faces, out of which the two sets are chosen", group="Look"
    )
    attributes: str | None = option(
        None,
        help="Table of the collection's attributes (LFW's layout, CelebA's, or CSV). Open: the one in or "
        "beside the folder, probabilities before 0 and 1",
        group="Look",
    )
    target: str | None = option(
        None, help="Folder of pictures that have it, instead of --faces", group="Look"
    )
    source: str | None = option(None, help="Folder of pictures that have it not", group="Look")
    strengths: tuple[float, ...] | None = option(
        None, help="Several strengths, such as 0.1,0.3,0.5: a contact sheet of all", group="Look"
    )
    list_: bool = option(False, help="List the attributes of the collection, and stop", group="Output")
    sets: str | None = option(
        None, help="Also write a contact sheet of both sets into this file", group="Output"
    )
    debug: bool = option(
        False, help="Say how long features and their difference are, by layer", group="Output"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeSettings(Common):
    """Interrupted work taken up again."""

    output: str | None = option(
        None,
        help="File of the result, or - for standard output. Open: where it was going, which is then replaced",
        group="Output",
    )
    device: str = option("", help="Where to compute; open: as before", group="Machine")
    devices: tuple[str, ...] = option(
        (),
        help="Share the tiles of the picture among processes, one for each device named: cuda:0,cuda:1 or "
        "cpu,cpu; open: as before",
        group="Machine",
    )
    weights: str | None = option(
        None, help="File of VGG-19 weights, if the work was begun with one", group="Machine"
    )
    decoders: tuple[str, ...] = decoders_option()


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller(Options):
    """What a checkpoint remembers of the command line; a file's name stands without its folder."""

    output: str = option("", help="Name of the result's file")
    depth: int = option(8, help="Bits a sample")
    recipe: bool = option(True, help="Whether the recipe goes into the file")
    save_every: int = option(0, help="Iterations between checkpoints", low=0)
    device: str = option("auto", help="Where the work was done")
    devices: tuple[str, ...] = option((), help="Where it was shared among processes")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettings(StylizeSettings):
    """Many pictures restyled."""

    output: str | None = option(None, help="Folder of the results; it is made", group="Output")
    overwrite: bool = option(
        False, help="Replace results that are there and were made otherwise", group="Output"
    )
    save_every: int = option(
        0,
        help="Keep where a picture stands every so many iterations; 0: when interrupted",
        low=0,
        group="Output",
    )
    plan: bool = option(
        False, help="Write the manifest, say count, memory and time, and stop", group="Output"
    )
    name: str = option(
        NAME, help="Names of the results: {content} {style} {folder} {number} {method} {ext}", group="Output"
    )
    manifest: str | None = option(
        None, help="Manifest to run as it stands, in the place of pictures and options", group="Output"
    )
    style: tuple[str, ...] = option(
        (),
        help="Style picture, folder or pattern; may be given several times",
        repeats=True,
        group="Look",
    )
    combine: str = option(
        "product",
        help="Each picture with each style (--product), the first with the first and so on (--pair), "
        "or each with all of them blended (--together)",
        choices=COMBINE,
        aliases=tuple(f"{way}={way}" for way in COMBINE),
        group="Look",
    )
    part: str = option(
        "1/1", help="Which part of the cases to do here: 2/5 is the second of five", group="Work"
    )
    workers: int = workers_option()
    on: str = on_option("; else --send")
    send: bool = option(
        False,
        help="Send the files with each picture and have the result sent back: the cluster's machines need "
        "not reach the folders",
        group="Machine",
    )
    threads: int = threads_option("as the manifest that is there, else ")
