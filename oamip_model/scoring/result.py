"""The importance scores of a network, and how far they can be trusted."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from oamip_model.files import replacing
from oamip_model.scoring.asked import read_method, read_solver
from oamip_model.scoring.program_result import ProgramResult, Verdict
from oamip_model.scoring.show import draw_scores, frame_of

if TYPE_CHECKING:
    from oamip_model.scoring.method import Method
    from oamip_model.solving.options import Solver

Array: TypeAlias = NDArray[np.float64]
FORMAT = "oamip-scores-1"
_INLINE = 20_000
"""More scores than this go to a safetensors file beside the JSON."""


@dataclass(frozen=True, eq=False, repr=False)
class Scores(Verdict):
    """Importance scores by layer, and what was proved about them.

    Parameters
    ----------
    by_layer : dict of str to array
        Scores (units,) in [0, 1] of each score group, first layer first.
    strategy : str
        Name of the method.
    gate : str
        Name of the gate, which is how a score acts on a unit.
    solver, version : str
        Name and version of the solver.
    relaxed : bool
        Whether ReLU states were in [0, 1], so that objective and bound are of a relaxation.
    programs : tuple of ProgramResult
        How each program was solved.
    options : dict of str to object
        The options of the call, as :attr:`method` and :attr:`solver_options` read them, and facts
        of the run.
    source : str
        Where the images came from.
    network : str
        Fingerprint of the network.
    planned : int, default 1
        Programs that were planned. An interrupted run has fewer, and a rule without programs has 0.
    interrupted : bool, default False
        Whether Ctrl-C ended the run.
    seconds : dict of str to float, optional
        Seconds by stage, added up over the programs.
    images : int, default 0
        Number of images.
    head : str, optional
        What stood for the layers after the scored one, layer by layer.
    network_accuracy : float, optional
        Accuracy of the network on the same images, where heads were trained.
    exchanged : int, default 0
        Pairs of units that a local search exchanged after the layers' programs. The scores are then no
        longer those of the programs.
    out_of_time : bool, default False
        Whether a total time limit ended the run before all its programs were solved.

    Examples
    --------
    >>> import torch, numpy as np, oamip_model as om
    >>> _ = torch.manual_seed(0)
    >>> module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> scores = om.score(module, np.eye(2), [0, 1], method=om.Joint(om.Formulation(scores="binary", sparsity="mean")))
    >>> scores.status, scores.proved, sorted(scores.by_layer)
    ('optimal', True, ['0'])
    """

    by_layer: dict[str, Array]
    strategy: str
    gate: str
    solver: str
    version: str
    relaxed: bool
    programs: tuple[ProgramResult, ...]
    options: dict[str, Any]
    source: str
    network: str
    planned: int = 1
    interrupted: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    images: int = 0
    head: str | None = None
    network_accuracy: float | None = None
    exchanged: int = 0
    out_of_time: bool = False

    def __repr__(self) -> str:
        gap = "" if self.gap is None else f", gap {self.gap:.2g}"
        units = sum(len(values) for values in self.by_layer.values())
        return f"<Scores: {self.strategy}, {self.status}{gap}, {units} units in {len(self.by_layer)} layers>"

    @property
    def method(self) -> Method | None:
        """The method with its options, None for a baseline and for files of version 0.1.

        Raises
        ------
        InputError
            Where it was given an object, such as bounds, that a file does not hold.
        """
        return read_method(self.options)

    @property
    def solver_options(self) -> Solver | None:
        """The solver with its options, None where :attr:`method` is, or without a solver."""
        return read_solver(self.options)

    def to_frame(self) -> Any:
        """A pandas DataFrame with a row for each unit: its layer, its number, its score.

        Returns
        -------
        pandas.DataFrame
            The columns layer, unit and score.

        Raises
        ------
        InputError
            Where pandas is not installed.
        """
        return frame_of(self.by_layer)

    def plot(self, path: str | Path | None = None) -> Any:
        """A matplotlib figure of the scores, each layer's in falling order.

        Parameters
        ----------
        path : str or Path, optional
            A file that the figure is saved to.

        Returns
        -------
        matplotlib.figure.Figure
            The figure.

        Raises
        ------
        InputError
            Where matplotlib is not installed, or the file cannot be written.
        """
        return draw_scores(self.by_layer, repr(self)[1:-1], path)

    def save(self, path: str | Path) -> Path:
        """Write one JSON file, and return the path.

        Above 20,000 scores there is a .safetensors file beside it.

        Parameters
        ----------
        path : str or Path
            The JSON file.

        Returns
        -------
        Path
            The same path.

        Raises
        ------
        InputError
            Where the file cannot be written.
        """
        target = Path(path)
        record = asdict(self) | {
            "format": FORMAT,
            "summary": self.summary(),
            "proved": self.proved,
            "gap": self.gap,
        }
        record |= {"proof": self.proof}
        record |= {
            "status": self.status,
            "objective": self.objective,
            "bound": self.bound,
            "averaged": self.averaged,
        }
        if sum(len(s) for s in self.by_layer.values()) > _INLINE:
            from safetensors.numpy import save

            arrays = target.with_suffix(".safetensors")
            with replacing(arrays) as temporary:
                temporary.write_bytes(save({name: np.ascontiguousarray(s) for name, s in self.by_layer.items()}))
            record["by_layer"] = {"file": arrays.name, "layers": list(self.by_layer)}
        else:
            record["by_layer"] = {name: s.tolist() for name, s in self.by_layer.items()}
        with replacing(target) as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n")
        return target
