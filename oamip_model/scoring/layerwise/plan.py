"""What the subproblems of a layer by layer run have in common.

It is plain data, and so is what one gives back.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, TypedDict

import numpy as np

from oamip_model.errors import InputError
from oamip_model.network.maps import Array
from oamip_model.records import Share, checked
from oamip_model.scoring.layer_methods import Layerwise, Ordered
from oamip_model.scoring.layer_options import PATH, Exchanges, LevelMethod
from oamip_model.scoring.layerwise.heads import removing_heads
from oamip_model.scoring.program_result import ProgramResult
from oamip_model.scoring.reading import read_program
from oamip_model.solving.options import Solver

_EXCHANGES, _LEVEL = Exchanges(), LevelMethod()


@dataclass(frozen=True)
class Plan:
    """The options that all subproblems of a run share.

    Parameters
    ----------
    order : {"decoupled", "forward", "backward"}
        Each layer on its own, or in an order in which earlier layers are cut.
    head : str
        The name of a head.
    sparsity : str
        The name of a sparsity.
    binary : bool
        Whether scores are binary.
    weight : float
        The weight of the loss, without an amount.
    loss : str
        "cross-entropy", or "hinge" with a ``margin``.
    margin : float
        The margin in logits.
    amount : float, optional
        The share of the units to remove, for which the weight is found along a path.
    scope : {"layer", "global"}
        Whether it is a share of each layer or of all.
    path : tuple of float
        Weights whose results are all returned, instead of those of ``tried``.
    threshold : float
        The score below which a unit is cut in the orders, without an amount.
    sweeps : int
        Times that all layers are scored again with the others cut.
    exchanges : Exchanges
        Options of the exchanges after all programs.
    level : LevelMethod
        Options of the level method.
    tried : tuple of float
        The weights of the path.
    closer : int
        Weights at most between two of them.
    solver, tolerance, time_limit, seed, device
        Those of each program.
    bounds, relaxation, program_images
        Those of the mixed-integer programs of the heads "rest" and "auxiliary".
    """

    order: str = "decoupled"
    head: str = "pattern"
    sparsity: str = "published"
    binary: bool = False
    weight: float = 5.0
    loss: str = "cross-entropy"
    margin: float = 1.0
    amount: float | None = None
    scope: str = "layer"
    path: tuple[float, ...] = ()
    threshold: float = 0.1
    sweeps: int = 1
    exchanges: Exchanges = _EXCHANGES
    level: LevelMethod = _LEVEL
    tried: tuple[float, ...] = PATH
    closer: int = 4
    solver: str = "highs"
    tolerance: float = 1e-3
    time_limit: float | None = None
    seed: int = 0
    device: str = "cpu"
    bounds: str = "interval"
    relaxation: str = "big-m"
    program_images: int = 50

    @classmethod
    def of(cls, method: Layerwise, solver: Solver, device: str) -> Plan:
        """The plan of a method with a solver, on a device of torch."""
        # A search by the network as cut would undo what was chosen for the refit that follows.
        searches = method.head in removing_heads()
        return cls(
            method.called, method.head, method.sparsity, method.scores == "binary", method.weight, method.loss,
            method.margin, method.amount, method.scope, solver=solver.label,
            tolerance=solver.gap(method.default_tolerance), time_limit=solver.time_limit, seed=solver.seed or 0,
            device=device, bounds=method.bounds, relaxation=method.relaxation, program_images=method.program_images,
            sweeps=method.sweeps if isinstance(method, Ordered) and searches else 0,
            exchanges=method.exchanging if isinstance(method, Ordered) and searches else Exchanges(0),
            level=method.level, tried=method.weights, closer=method.closer, threshold=method.threshold,
        )  # fmt: skip

    @property
    def weights(self) -> tuple[float, ...]:
        """The weights that a subproblem solves."""
        if self.path:
            return self.path
        return (self.weight,) if self.amount is None else self.tried


class _Stored(TypedDict):
    """A layer's outcome in a store."""

    scores: list[Share]
    keep: list[bool | Share]
    result: dict[str, Any]
    solver: str
    version: str
    head: str
    path: list[dict[str, Any]]


@dataclass(frozen=True)
class LayerOutcome:
    """A layer's scores and mask, its program's result, and the head's kind.

    Scores and mask have the shape (units,).

    path: where the plan has a path of weights, the outcome of each; the outcome itself is then the last of them.
    """

    scores: Array
    keep: Array
    result: ProgramResult
    solver: str
    version: str
    head: str
    path: tuple[LayerOutcome, ...] = ()

    def record(self) -> dict[str, Any]:
        """The outcome in plain types, for a store."""
        return {
            "scores": self.scores.tolist(), "keep": self.keep.tolist(), "result": asdict(self.result),
            "solver": self.solver, "version": self.version, "head": self.head,
            "path": [outcome.record() for outcome in self.path],
        }  # fmt: skip

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> LayerOutcome:
        """The outcome that :meth:`record` gave. Raises InputError for anything else."""
        plain: _Stored = checked(_Stored, record, "it")
        scores, keep = np.asarray(plain["scores"]), np.asarray(plain["keep"])
        if len(scores) != len(keep):
            raise InputError(f"it has {len(scores)} scores and {len(keep)} marks of what stays")
        return cls(
            scores, keep, read_program(plain["result"], "store"), plain["solver"], plain["version"], plain["head"],
            tuple(map(cls.from_record, plain["path"])),
        )  # fmt: skip
