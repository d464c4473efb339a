"""The file from which an interrupted refit continues.

It holds what each level gave, and the state of a training after each pass.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oamip_model.arrays import read_safetensors
from oamip_model.clock import tick
from oamip_model.data.weights import fingerprint
from oamip_model.errors import InputError
from oamip_model.files import check_writable, replacing
from oamip_model.network.types import Network
from oamip_model.records import Count, checked, parse_json
from oamip_model.refit.least_squares import LayerFit
from oamip_model.refit.options import Refit
from oamip_model.refit.output import OutputFit
from oamip_model.refit.report import Stage
from oamip_model.refit.stream import ImageStream
from oamip_model.refit.walk import Walk
from oamip_model.runs.store import key_of

_APART = ("device", "checkpoint")
"""Options that the result of a refit does not depend on."""


@dataclass(frozen=True)
class Passes:
    """How far a training is.

    Passes that were ``made``, the number of the best one, 0 for none, and divergences before the first and after the
    best.
    """

    made: Count
    kept: Count
    before: float
    best: float


@dataclass(frozen=True)
class Record:
    """What a file holds besides tensors."""

    key: str
    stages: list[Stage]
    layers: list[LayerFit]
    output: OutputFit | None
    passes: Passes | None


class Checkpoint:
    """The state of one refit in a file, written anew after each level and each pass.

    Parameters
    ----------
    path : Path
        The file, which need not exist.
    key : str
        What the refit depends on, by :func:`refit_key`.

    Raises
    ------
    InputError
        Where the file holds something else, or another refit. It is not changed then.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path = check_writable(path, "checkpoint")
        self.record = Record(key, [], [], None, None)
        self.tensors: dict[str, Tensor] = {}
        if not path.exists() or not path.stat().st_size:
            return
        where = f"checkpoint: {path}"
        self.tensors = {name: torch.tensor(values) for name, values in read_safetensors(path, where).items()}
        told = self.tensors.pop("record", torch.zeros(0))
        if told.dtype != torch.uint8 or told.ndim != 1:
            raise InputError(f"{where} is no file of a refit")
        self.record = checked(Record, parse_json(told.numpy().tobytes(), where), where)
        if self.record.key != key:
            raise InputError(f"{where} is of another refit; remove it, or give another file")

    def put_levels(
        self, walk: Walk, stages: Sequence[Stage], layers: Sequence[LayerFit], output: OutputFit | None
    ) -> None:
        """Keep what the levels gave that are finished."""
        self.record = Record(self.record.key, list(stages), list(layers), output, None)
        self.tensors = _weights(walk)
        self._write()

    def take_levels(self, walk: Walk) -> None:
        """Give the walk's network the weights of the levels that are finished."""
        if not self.record.stages:
            return
        names = {name for name in self.tensors if name.startswith("layer.")}
        for k, layer in enumerate(walk.current.layers):
            trained = {f"layer.{k}.{n}": (n, term.map.trained) for n, term in enumerate(layer.terms)}
            maps = {
                n: map.with_weights(self._tensor(name, torch.as_tensor(map.weight)).numpy())
                for name, (n, map) in trained.items()
                if name in names and map is not None
            }
            bias = layer.bias
            if f"layer.{k}.bias" in names:
                bias = self._tensor(f"layer.{k}.bias", torch.as_tensor(bias)).numpy()
            if maps or bias is not layer.bias:
                walk.refit(k, maps, bias)

    def put_pass(self, passes: Passes, state: Mapping[str, Tensor]) -> None:
        """Keep the state of a training after a pass."""
        self.record = Record(
            **{one.name: getattr(self.record, one.name) for one in fields(Record)} | {"passes": passes}
        )
        levels = {name: tensor for name, tensor in self.tensors.items() if name.startswith("layer.")}
        self.tensors = levels | {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
        self._write()

    def take_pass(self, like: Mapping[str, Tensor]) -> tuple[Passes, dict[str, Tensor]] | None:
        """How far a training is, and its state, None where it has not begun.

        like: tensors of the state's names and shapes.
        """
        if self.record.passes is None:
            return None
        return self.record.passes, {name: self._tensor(name, tensor) for name, tensor in like.items()}

    def _tensor(self, name: str, like: Tensor) -> Tensor:
        found = self.tensors.get(name)
        if found is None or found.shape != like.shape or found.dtype != like.dtype or not bool(found.isfinite().all()):
            raise InputError(f"checkpoint: {self.path} does not fit the refit, its {name} is missing or another")
        return found.to(like.device)

    def _write(self) -> None:
        from safetensors.torch import save

        told = torch.frombuffer(bytearray(json.dumps(asdict(self.record)).encode()), dtype=torch.uint8)
        with replacing(self.path) as temporary, temporary.open("wb") as file:
            file.write(save(self.tensors | {"record": told}))
            file.flush()
            os.fsync(file.fileno())


def refit_key(network: Network, keep: Mapping[str, NDArray[np.bool_]], stream: ImageStream, options: Refit) -> str:
    """The hash of all that the result of a refit depends on.

    It is of the network, masks (units,) by group, options, images and their weights.
    """
    digest = hashlib.sha256()
    for images, _ in stream:
        tick("which images these are")
        digest.update(images.tobytes())
    return key_of(
        network=network.fingerprint,
        masks={name: mask.tolist() for name, mask in keep.items()},
        options={one.name: getattr(options, one.name) for one in fields(options) if one.name not in _APART},
        images=digest.hexdigest(),
        weights=None if stream.weights is None else fingerprint(stream.weights),
    )


def _weights(walk: Walk) -> dict[str, Tensor]:
    """The weights and constants that the walk's network has anew, by name."""
    found = {}
    for k, (before, layer) in enumerate(zip(walk.slim.network.layers, walk.current.layers, strict=True)):
        if layer.bias is not before.bias:
            found[f"layer.{k}.bias"] = layer.bias
        for n, (old, term) in enumerate(zip(before.terms, layer.terms, strict=True)):
            if term.map is not old.map and term.map.trained is not None:
                found[f"layer.{k}.{n}"] = term.map.trained.weight
    # Tensors of one file may not share memory.
    return {name: torch.as_tensor(np.array(values, order="C")) for name, values in found.items()}
