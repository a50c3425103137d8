"""Networks that have learnt a look, or looks at all: by the name of one that comes along, or by a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import as_file
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from torch import Tensor

from katazome.errors import GivenWeightsError, nearest
from katazome.weights import own
from katazome.weights.modelfile import Kind


class Learnt(Protocol):
    """What a network has learnt, with the name and SHA-256 of its file."""

    @property
    def name(self) -> str:
        """The file's name for people."""

    @property
    def sha256(self) -> str:
        """The file's hash."""

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """All that was learnt, by name."""

    def to_json(self) -> dict[str, Any]:
        """Return ``name``, ``sha256`` and ``card`` as JSON values."""


Model = TypeVar("Model", bound=Learnt)


@dataclass(frozen=True)
class Shelf(Generic[Model]):
    """Where the models of a kind are found.

    ``model`` is their class; ``of`` builds one of name, hash, tensors and card, and raises
    :class:`ValueError` for those of something else; ``default`` names the one that is taken where none is.
    """

    kind: Kind
    default: str
    model: type[Model]
    of: Callable[[str, str, Mapping[str, Tensor], Mapping[str, Any]], Model]

    def names(self) -> tuple[str, ...]:
        """Return the names of the models that come with the program."""
        known = (model.name for model in own.models())
        return tuple(self.short(name) for name in known if name.startswith(f"{self.kind.name}-"))

    def short(self, name: str) -> str:
        """Return a model's name without that of its kind."""
        return name.removeprefix(f"{self.kind.name}-")

    def read(self, path: Path, name: str = "") -> Model:
        """Read a model's file; :class:`GivenWeightsError` when it is none."""
        tensors, card, sha256 = self.kind.read(path)
        try:
            return self.of(name or self.kind.name, sha256, tensors, card)
        except ValueError as error:
            raise self.kind.wrong(path, str(error)) from error

    def opened(self, model: str) -> Model:
        """Return a model by the name of one that comes with the program, or by its file; empty: the default.

        Raises :class:`GivenWeightsError` when it is none.
        """
        model = model or self.default
        if model in self.names():
            name = f"{self.kind.name}-{model}"
            with as_file(own.folder() / f"{name}.safetensors") as path:
                return self.read(path, name)
        if not Path(model).exists():
            known = ", ".join(self.names())
            raise GivenWeightsError(
                f"there is no {self.kind.what} {model}, neither a file nor one that comes with the program "
                f"({known}){nearest(model, self.names())}; make one with `{self.kind.command}`"
            )
        return self.read(Path(model))
