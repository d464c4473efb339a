"""The file of a proof: what is claimed, and the tree whose leaves prove it.

See mathematics:proof-1..4.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from oamip_model.errors import InputError
from oamip_model.files import replacing
from oamip_model.records import Within, checked, read_json

Place = Annotated[int, Within(0)]
Family = Literal["pre", "above", "below", "state", "score", "entry", "chosen", "choice", "largest", "hinge"]


@dataclass(frozen=True)
class Program:
    """The program whose optimum is bounded.

    See mathematics:objective-1.
    """

    gate: Literal["subtractive", "switch"]
    scores: Literal["continuous", "binary"]
    loss: Literal["cross-entropy", "hinge"]
    sparsity: Literal["mean", "parameters"]
    weight: Annotated[float, Within(0)]
    margin: Annotated[float, Within(0)]

    @property
    def multiplies(self) -> bool:
        """Whether the gate multiplies an activation by its score, which is binary then."""
        return self.gate == "switch"


@dataclass(frozen=True)
class Multiplier:
    """The multiplier of one row.

    It is the row of a family for an image, a layer and a place in it. Of "hinge" the place is the other class. Of
    "entry", "chosen" and "largest" it is that of an entry of a window. It is the window times the entries of one, plus
    the entry's number in it.
    """

    family: Family
    image: Place
    layer: Place
    place: Place
    value: float


@dataclass(frozen=True)
class Tangent:
    """The multiplier of a tangent of an image's cross-entropy.

    slopes: a probability of each class but the last one, whose is what is missing to 1.
    """

    image: Place
    slopes: tuple[float, ...]
    value: float


@dataclass(frozen=True)
class Node:
    """A node of the tree: a leaf with multipliers, or a split with two children.

    Parameters
    ----------
    kind : {"leaf", "score", "state", "choice"}
        "score" is split by a score, and "state" by the state of a ReLU. "choice" is split by whether an entry of a
        window is taken as its largest.
    image, layer, place : int
        The ReLU or the entry, or the unit as ``place``.
    low, high : int
        The nodes where the split column is 0 and 1. Both come later in the list.
    rows : tuple of Multiplier
        The multipliers of a leaf.
    tangents : tuple of Tangent
        The tangents that a leaf uses.
    """

    kind: Literal["leaf", "score", "state", "choice"]
    image: Place = 0
    layer: Place = 0
    place: Place = 0
    low: Place = 0
    high: Place = 0
    rows: tuple[Multiplier, ...] = ()
    tangents: tuple[Tangent, ...] = ()


@dataclass(frozen=True)
class Proof:
    """A lower bound and an incumbent, with their proof.

    Parameters
    ----------
    format : {1}
        The version of the format.
    kind : {"scores"}
        The kind of file.
    network : str
        The fingerprint of the network.
    images : tuple of str
        The hash of each image.
    labels : tuple of int
        The label of each image.
    program : Program
        The options of the program.
    scores : tuple of float
        The incumbent (units,).
    objective : float
        An upper bound of its value.
    bound : float
        A lower bound of the value of all scores.
    lower, upper : tuple of tuple
        Bounds of the pre-activations, by image and layer.
    nodes : tuple of Node
        The tree, with the root first.
    digest : str
        A hash of all the rest.
    """

    format: Literal[1]
    kind: Literal["scores"]
    network: str
    images: tuple[str, ...]
    labels: tuple[Place, ...]
    program: Program
    scores: tuple[Annotated[float, Within(0, 1)], ...]
    objective: float
    bound: float
    lower: tuple[tuple[tuple[float, ...], ...], ...]
    upper: tuple[tuple[tuple[float, ...], ...], ...]
    nodes: tuple[Node, ...]
    digest: str = ""

    def digested(self) -> str:
        """The digest that the proof should have."""
        rest = asdict(self)
        del rest["digest"]
        return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()

    def save(self, path: str | Path) -> None:
        """Write the proof, with its digest, to a .json file, whole or not at all."""
        if Path(path).suffix != ".json":
            raise InputError(f"proof: {path} is not a name ending in .json")
        record: dict[str, Any] = {**asdict(self), "digest": self.digested()}
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(record, allow_nan=False) + "\n", encoding="utf-8")


def load_proof(path: str | Path) -> Proof:
    """The proof in a file.

    Raises InputError where it holds anything else, or something of it was changed.
    """
    where = f"proof: {path}"
    found: Proof = checked(Proof, read_json(Path(path), where), where)
    if found.digest != found.digested():
        raise InputError(f"{where} was changed after it was written: its digest is another one")
    return found
