"""The tightness study: every cell once, kept as soon as it is finished."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oamip_benchmarks.tightness.cells import Cell, Grid, Objective, cells_of
from oamip_benchmarks.tightness.measure import Effort, Prepared, Row, measure
from oamip_benchmarks.tightness.result import Tightness
from oamip_model.bounds import Bounds, Cutoff, fingerprint_images
from oamip_model.checks import check_used
from oamip_model.data import Dataset, check_labels
from oamip_model.data.given import AnyImages, as_dataset
from oamip_model.errors import InputError
from oamip_model.formulation.gates import gate_named
from oamip_model.formulation.losses import loss_named
from oamip_model.formulation.settings import validity_of
from oamip_model.network.maps import Array
from oamip_model.network.types import Network
from oamip_model.records import Share, Within, checked
from oamip_model.runs.store import RunStore, key_of
from oamip_model.scoring.run import as_network
from oamip_model.solving.options import Run, Solver, as_solver
from oamip_model.solving.registry import get_backend
from oamip_model.tightening import compute_bounds
from oamip_model.tightening.methods import Tightening

if TYPE_CHECKING:
    from torch import nn

    Given: TypeAlias = Network | nn.Module | str | Path


def tightness(
    networks: Mapping[str, Given],
    images: AnyImages,
    labels: ArrayLike | None = None,
    grid: Grid | None = None,
    *,
    objective: Objective | None = None,
    solver: str | Solver = "highs",
    run: Run | None = None,
) -> Tightness:
    """How tight the programs of some networks are, and what that costs.

    They are compared by gate, relaxation and bounds. Each cell is the program of all images: its size
    and its relaxation at the root. With a time limit it is the integer program too. The limit is for
    bounds, build and solve together.

    An integer program starts from the heuristic's scores in every cell alike, but in the gate
    "published", which has no heuristic. So the heuristic's own seconds count in none.

    Ctrl-C gives back the rows that are finished, marked as interrupted.

    Parameters
    ----------
    networks : mapping of str to Network, torch.nn.Module, str or Path
        Networks by name, each as :func:`oamip_model.score` takes it.
    images : array, Dataset, torch Dataset or DataLoader
        Images of shape ``(n, *input_shape)`` with labels, or one of the others alone. They are the same
        for all networks.
    labels : array of int, optional
        Labels (n,) of images that are given as an array.
    grid : Grid, optional
        What is measured, and what it may spend on bounds and starts.
    objective : Objective, optional
        The part of the formulation that all programs share.
    solver : str or Solver, default "highs"
        A name, or an object with limits.
    run : Run, optional
        Its jobs, of the bounds, its store and its progress. The store is a .jsonl file to which each
        finished row is added, and from which rows of the same kind are taken. Bounds of missing rows
        are computed again.

    Returns
    -------
    Tightness
        A row for each cell.

    Raises
    ------
    InputError
        For whatever is given wrong.

    Examples
    --------
    >>> import numpy as np, torch, oamip_model as om
    >>> _ = torch.manual_seed(0)
    >>> module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> grid = om.study.Grid(relaxations=["big-m"], bounds=["crown"])
    >>> found = om.study.tightness({"tiny": module}, np.ones((1, 2)), [0], grid)
    >>> [(row.network, row.binaries, row.status) for row in found.rows]
    [('tiny', 0, None)]
    """
    grid, objective, run = grid or Grid(), objective or Objective(), run or Run()
    how = as_solver(solver)
    check_used(how, ("name", "tolerance", "time_limit", "threads", "seed"), "a study")
    check_used(run, ("jobs", "store", "progress"), "a study")
    effort = Effort(
        how.label, how.gap(), how.time_limit, grid.bounds_limit, grid.heuristic_limit, how.threads or 1, how.seed or 0,
        run.jobs or 1,
    )  # fmt: skip
    cells = cells_of(_names(networks), grid)
    for cell in cells:
        objective.settings(cell)
    version = get_backend(how.name).version()
    data = as_dataset(images, labels)
    plain = {name: as_network(network, data) for name, network in networks.items()}
    for network in plain.values():
        network.check_images(data.images)
        loss_named(objective.loss).check(network.classes, check_labels(data.labels, network.classes))
    study = _Study(plain, data, objective, effort, version, RunStore(run.store), run.tell)
    with study.store.alone():
        return study.run(cells)


def _names(networks: Any) -> list[str]:
    if not isinstance(networks, Mapping) or not networks or not all(isinstance(name, str) for name in networks):
        raise InputError("networks: accepted is a dictionary of networks by name, with at least one")
    return list(networks)


class _Known(TypedDict):
    """Scores of the heuristic in the store."""

    objective: float | None
    seconds: Annotated[float, Within(0)]
    scores: dict[str, list[Share]]


@dataclass
class _Study:
    networks: dict[str, Network]
    data: Dataset
    objective: Objective
    effort: Effort
    version: str
    store: RunStore
    progress: Callable[[int, int, str], None] | None
    bounds: dict[tuple[str, ...], tuple[Bounds, float]] = field(default_factory=dict)
    done: int = 0
    planned: int = 0

    def run(self, cells: list[Cell]) -> Tightness:
        """All cells that the store does not have."""
        keys = {cell: self.key(cell) for cell in cells}
        records = {cell: record for cell, key in keys.items() if (record := self.store.get(key)) is not None}
        rows = {
            cell: checked(
                Row, record | {"network": cell.network}, f"store: the record {keys[cell]} of {self.store.path}"
            )
            for cell, record in records.items()
        }
        for cell in cells:
            self.stored(cell)
        found, self.planned, self.done, interrupted = len(rows), len(cells), len(rows), False
        try:
            for cell in cells:
                if cell in rows:
                    continue
                rows[cell] = self.row(cell)
                self.store.put(keys[cell], asdict(rows[cell]))
                self.done += 1
        except KeyboardInterrupt:
            interrupted = True
        finished = tuple(rows[cell] for cell in cells if cell in rows)
        return Tightness(finished, self.best(finished), len(cells), found, self.data.source, interrupted)

    def row(self, cell: Cell) -> Row:
        """One cell, measured now."""
        network, settings = self.networks[cell.network], self.objective.settings(cell)
        self.tell(cell, "heuristic")
        known = self.known(cell) if gate_named(cell.gate).sound else None
        bounds, seconds = self.bounded(cell, known)
        scores = known["scores"] if known is not None and known["objective"] is not None else None
        # By place, not by name: an equal network of another file may name its layers otherwise.
        groups = [group.name for group in network.groups]
        start = None if scores is None else dict(zip(groups, map(np.asarray, scores.values()), strict=True))
        x, y = self.arrays(network)
        prepared = Prepared(bounds, seconds, start, None if known is None else known["seconds"])
        return measure(cell, settings, network, x, y, prepared, self.effort, lambda line: self.tell(cell, line))

    def bounded(self, cell: Cell, known: dict[str, Any] | None) -> tuple[Bounds, float]:
        """Bounds of a cell and their seconds, computed once for all cells that share them."""
        key = (cell.network, cell.bounds, validity_of(cell.gate), cell.gate if cell.with_cutoff else "")
        if key in self.bounds:
            return self.bounds[key]
        self.tell(cell, "bounds")
        network, settings = self.networks[cell.network], self.objective.settings(cell)
        x, y = self.arrays(network)
        options: dict[str, Any] = {"epsilon": settings.epsilon, "validity": validity_of(cell.gate)}
        asked = Tightening(cell.method, time_limit=self.effort.bounds_limit)
        if cell.method in ("lp", "mip"):
            asked = replace(asked, jobs=self.effort.jobs, solver=self.effort.solver)
        if cell.with_cutoff and known is not None:
            if known["objective"] is None:
                raise InputError(f"bounds: got {cell.bounds}, but the heuristic found no scores for {cell.network}")
            options["cutoff"] = Cutoff(
                known["objective"], y, settings.weight, settings.loss, settings.sparsity, settings.margin
            )
        began = time.monotonic()
        found = compute_bounds(network, x, asked, **options)
        # Cells come in the order of their bounds, so that those before are not needed again.
        self.bounds = {k: v for k, v in self.bounds.items() if k[:2] == key[:2]}
        self.bounds[key] = (found, time.monotonic() - began)
        return self.bounds[key]

    def known(self, cell: Cell) -> dict[str, Any]:
        """The heuristic's scores, objective and seconds, which are kept in the store.

        The objective is None where the scores miss the margin. The keys of rows do not depend on them.
        The same command finds the same ones, or nearly so within its seconds.
        """
        record = self.stored(cell)
        if record is None:
            from oamip_model.scoring.joint.heuristic import find_scores

            network, settings = self.networks[cell.network], self.objective.settings(cell)
            found = find_scores(
                network, *self.arrays(network), settings, seed=self.effort.seed, time_limit=self.effort.heuristic_limit
            )
            value = found.objective if np.isfinite(found.objective) else None
            scores = {name: values.tolist() for name, values in found.scores.items()}
            record = {"objective": value, "seconds": found.seconds, "scores": scores}
            self.store.put(self.key(Cell(cell.network, cell.gate, "", "")), record)
        return record

    def stored(self, cell: Cell) -> dict[str, Any] | None:
        """The heuristic's record in the store, None where there is none.

        Raises
        ------
        InputError
            Where the record is none of the cell's network.
        """
        key = self.key(Cell(cell.network, cell.gate, "", ""))
        record = self.store.get(key)
        if record is None:
            return None
        where = self.place(key)
        found: dict[str, Any] = checked(_Known, record, where)
        sizes = [len(values) for values in found["scores"].values()]
        wanted = [group.size for group in self.networks[cell.network].groups]
        if sizes != wanted:
            raise InputError(f"{where}: scores are of layers of {sizes} units, the network has {wanted}")
        return found

    def place(self, key: str) -> str:
        """Where a record is, as errors begin."""
        return f"store: the record {key} of {self.store.path}"

    def best(self, rows: tuple[Row, ...]) -> dict[tuple[str, str], float]:
        """The least objective that is known of each program."""
        best: dict[tuple[str, str], float] = {}
        for row in rows:
            record = self.stored(Cell(row.network, row.gate, "", ""))
            for value in (row.objective, None if record is None else record["objective"]):
                if value is not None:
                    best[row.network, row.gate] = min(value, best.get((row.network, row.gate), np.inf))
        return best

    def key(self, cell: Cell) -> str:
        """The key of a row in the store: all that it depends on."""
        network = self.networks[cell.network]
        x, y = self.arrays(network)
        return key_of(
            study="tightness", network=network.fingerprint, images=fingerprint_images(x), labels=y.tolist(),
            version=self.version, cell=[cell.gate, cell.relaxation, cell.bounds],
            **asdict(self.objective), **asdict(self.effort),
        )  # fmt: skip

    def arrays(self, network: Network) -> tuple[Array, NDArray[np.int64]]:
        """Images as the network takes them, and labels."""
        return network.check_images(self.data.images), check_labels(self.data.labels, network.classes)

    def tell(self, cell: Cell, line: str) -> None:
        """Move the progress bar."""
        if self.progress is not None:
            told = f"{cell.network}, {cell.gate}, {cell.relaxation}, {cell.bounds}: {line}"
            self.progress(self.done, self.planned, told)
