"""One piece of work: what a method laid out, with all that a checkpoint must hold to go on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from katazome.descent.checkpoint import bytes_to_tensor, tensor_to_bytes, write_checkpoint
from katazome.descent.loop import Checkpoint, Step
from katazome.errors import PictureError
from katazome.methods.base import Inputs, Method, Task
from katazome.networks.segmenter import Segmenter, segmenter_of
from katazome.objective.plan import Plan
from katazome.pictures.read import Picture, read
from katazome.recipe import Recipe
from katazome.statistics.direction import Direction
from katazome.weights.flavours import VGGWeights
from katazome.weights.shelf import Learnt

_MODEL = "model."
_NETWORK = "network."
_DIRECTION = "direction."


@dataclass(frozen=True)
class Work:
    """One piece of work, checked and foretold, ready to run."""

    method: Method
    options: Any
    inputs: Inputs
    task: Task
    recipe: Recipe

    @property
    def plan(self) -> Plan:
        """What is going to happen: size, memory, time."""
        return self.task.plan

    def steps(self, resume: Checkpoint | None = None) -> Iterator[Step]:
        """Run and yield the steps; closing the iterator stops the work."""
        return self.task.steps(resume)

    def save(self, path: Path, checkpoint: Checkpoint, header: dict[str, Any]) -> None:
        """Write a checkpoint that :meth:`Session.resume` goes on from; ``header`` is the caller's own."""
        extra: dict[str, Tensor] = {}
        pictures = []
        for number, (role, picture) in enumerate(self.inputs.named()):
            decoded = [picture.height, picture.width]
            pictures.append(
                {"role": role, "name": picture.name, "sha256": picture.sha256, "decoded": decoded}
            )
            if picture.source is not None:
                extra[f"{number}.file"] = bytes_to_tensor(picture.source)
            else:
                extra[f"{number}.pixels"] = picture.pixels
                if picture.alpha is not None:
                    extra[f"{number}.alpha"] = picture.alpha
        model, network, direction = self.inputs.segmenter, self.inputs.network, self.inputs.direction
        if model is not None:
            extra |= {_MODEL + name: tensor for name, tensor in model.tensors().items()}
        if network is not None:
            extra |= {_NETWORK + name: tensor for name, tensor in network.tensors.items()}
        if direction is not None:
            extra |= {_DIRECTION + name: tensor for name, tensor in direction.tensors().items()}
        facts = {
            "model": None if model is None else model.facts.to_json(),
            "network": None if network is None else network.to_json(),
            "direction": None if direction is None else direction.to_json(),
            "method": self.method.name,
            "options": decided(self.options, self.plan),
            "pictures": pictures,
            "weights": self.recipe.to_json()["weights"],
            "threads": torch.get_num_threads(),
            "caller": header,
        }
        write_checkpoint(path, checkpoint, facts, extra)


def stored_model(facts: dict[str, Any], extra: dict[str, Tensor], weights: VGGWeights) -> Segmenter:
    """Return the model as :meth:`Work.save` stored it; :class:`PictureError` when it is damaged."""
    tensors = {name.removeprefix(_MODEL): t for name, t in extra.items() if name.startswith(_MODEL)}
    try:
        return segmenter_of(tensors, facts, weights)
    except ValueError as error:
        raise PictureError(
            f"the model in the checkpoint is damaged ({error}); start the work again"
        ) from error


def stored_network(method: Method, facts: dict[str, Any], extra: dict[str, Tensor]) -> Learnt:
    """Return the network as :meth:`Work.save` stored it; :class:`PictureError` when it is damaged."""
    tensors = {name.removeprefix(_NETWORK): t for name, t in extra.items() if name.startswith(_NETWORK)}
    try:
        if method.learnt is None:
            raise ValueError(f"{method.name} paints by none")
        found: Learnt = method.learnt.of(str(facts["name"]), str(facts["sha256"]), tensors, facts["card"])
        return found
    except (KeyError, ValueError) as error:
        raise PictureError(
            f"the network in the checkpoint is damaged ({error}); start the work again"
        ) from error


def stored_direction(facts: dict[str, Any], extra: dict[str, Tensor]) -> Direction:
    """Return the direction as :meth:`Work.save` stored it; :class:`PictureError` when it is damaged."""
    tensors = {name.removeprefix(_DIRECTION): t for name, t in extra.items() if name.startswith(_DIRECTION)}
    try:
        return Direction.of(tensors, facts)
    except (KeyError, TypeError, ValueError) as error:
        raise PictureError(
            f"the direction in the checkpoint is damaged ({error}); start the work again"
        ) from error


def decided(options: Any, plan: Plan) -> dict[str, Any]:
    """Return options as JSON with ``auto`` tiles as they were decided: later, memory may look otherwise."""
    values: dict[str, Any] = options.to_json()
    return {**values, "tile": "off" if plan.tile is None else str(plan.tile)} if "tile" in values else values


def on_device(checkpoint: Checkpoint, device: torch.device) -> Checkpoint:
    """Return a checkpoint's state where the work goes on."""
    state = {
        k: v.to(device) if v.is_floating_point() and v.ndim else v for k, v in checkpoint.optimiser.items()
    }
    return replace(checkpoint, picture=checkpoint.picture.to(device), optimiser=state)


def stored(facts: dict[str, Any], number: int, extra: dict[str, Tensor]) -> Picture:
    """Return an input picture as :meth:`Work.save` stored it; :class:`PictureError` when it is damaged."""
    if f"{number}.file" in extra:
        # A large JPEG may have been decoded at half its size or less; it must be again.
        decoded = tuple(facts["decoded"])
        picture = read(tensor_to_bytes(extra[f"{number}.file"]))
        if decoded != picture.native:
            picture = read(tensor_to_bytes(extra[f"{number}.file"]), longest=(max(decoded) - 1) // 2)
    else:
        alpha = extra.get(f"{number}.alpha")
        pixels = extra[f"{number}.pixels"]
        picture = read(pixels if alpha is None else torch.cat([pixels, alpha], dim=1))
    if facts["sha256"] != picture.sha256 and picture.source is not None:
        raise PictureError(f"the {facts['role']} picture in the checkpoint is damaged; start the work again")
    return replace(picture, name=facts["name"], sha256=facts["sha256"])
