"""The joint program of many images as a two-stage stochastic program.

See mathematics:scen-1. The scores are decided first; each image, or each few, is a scenario.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo
from numpy.typing import ArrayLike, NDArray

from oamip_model.data import Dataset, check_labels
from oamip_model.data.given import AnyImages, as_arrays, weights_of
from oamip_model.errors import InputError, SolverMissingError
from oamip_model.formulation import Formulation, build_instance, gate_scale
from oamip_model.formulation.losses import loss_named
from oamip_model.formulation.losses.shares import image_shares
from oamip_model.formulation.objective import sparsity
from oamip_model.formulation.settings import validity_of
from oamip_model.formulation.sparsities import sparsity_named
from oamip_model.network.maps import Array
from oamip_model.network.types import Network
from oamip_model.solving.replay import gated_logits
from oamip_model.tightening import compute_bounds
from oamip_model.tightening.methods import Tightening, as_tightening

if TYPE_CHECKING:
    from oamip_model.stochastic.forward_pass import ForwardPass

_EXTRA = "mpi-sppy, which is not installed: pip install 'oamip_model[mpisppy]'"


@dataclass(frozen=True, eq=False)
class Scenarios:
    """Images as scenarios, whose expected cost is the joint program's objective.

    Made by :func:`oamip_model.scenarios`.

    Parameters
    ----------
    network : Network
        The network whose units are scored.
    images : array
        The images, (n, *input_shape).
    labels : array of int
        Their labels, (n,).
    weights : array, optional
        Weights of the images' losses, (n,), with mean 1, where they count differently.
    formulation : Formulation
        The program.
    bounds : Tightening
        How pre-activations are bounded, scenario by scenario.
    rows : mapping of str to array of int
        The images of each scenario, by its name.
    """

    network: Network
    images: Array
    labels: NDArray[np.int64]
    weights: Array | None
    formulation: Formulation
    bounds: Tightening
    rows: Mapping[str, NDArray[np.int64]] = field(repr=False)

    @property
    def names(self) -> list[str]:
        """The names of the scenarios, in the order of the images."""
        return list(self.rows)

    def probability(self, name: str) -> float:
        """The share of all images, by their weights, that a scenario has.

        Parameters
        ----------
        name : str
            A name of :attr:`names`.

        Returns
        -------
        float
            The scenario's probability.

        Raises
        ------
        InputError
            For a name that is no scenario's.
        """
        shares = np.ones(len(self.labels)) if self.weights is None else self.weights
        return float(shares[self._rows(name)].sum() / len(self.labels))

    def model(self, name: str) -> pyo.ConcreteModel:
        """The Pyomo model of one scenario, by this package alone.

        Parameters
        ----------
        name : str
            A name of :attr:`names`.

        Returns
        -------
        pyomo.environ.ConcreteModel
            The program of the scenario's images, as :func:`oamip_model.build_instance` makes it.

        Raises
        ------
        InputError
            For a name that is no scenario's.
        """
        rows, form = self._rows(name), self.formulation
        x, y = self.images[rows], self.labels[rows]
        epsilon = float(form.epsilon or 0.0)
        bounds = compute_bounds(self.network, x, self.bounds, validity=validity_of(form.gate), epsilon=epsilon)
        weights = None if self.weights is None else self.weights[rows]
        return build_instance(self.network, x, y, form, bounds=bounds, weights=weights)

    def creator(self, name: str, **_: Any) -> pyo.ConcreteModel:
        """The model of one scenario as mpi-sppy takes it: its ``scenario_creator``.

        The scores are its variables of the first stage, and the sparsity is their cost.

        Parameters
        ----------
        name : str
            A name of :attr:`names`.

        Returns
        -------
        pyomo.environ.ConcreteModel
            The model with a root node and a probability.

        Raises
        ------
        InputError
            For a name that is no scenario's.
        SolverMissingError
            Where mpi-sppy is not installed.
        """
        try:
            from mpisppy.utils.sputils import attach_root_node
        except ImportError as error:
            raise SolverMissingError(f"scenarios: their creator needs {_EXTRA} ({error})") from None
        model = self.model(name)
        model._mpisppy_probability = self.probability(name)
        attach_root_node(model, sparsity(model), [model.s])
        return model

    def by_group(self, values: Mapping[str, float] | ArrayLike) -> dict[str, Array]:
        """Scores by layer, from the first stage of a solution.

        Parameters
        ----------
        values : mapping of str to float, or array
            Values by the names of variables, as mpi-sppy's ``get_root_solution()`` has them, or one for
            each unit in order.

        Returns
        -------
        dict of str to array
            Scores (units,) of each layer, which :func:`oamip_model.prune` takes.

        Raises
        ------
        InputError
            Where there are not as many values as units.
        """
        given = list(values.values()) if isinstance(values, Mapping) else values
        flat = np.asarray(given, dtype=np.float64).reshape(-1)
        units = sum(group.size for group in self.network.groups)
        if len(flat) != units:
            raise InputError(f"values: got {len(flat)}, the network has {units} units")
        return self.network.by_group(np.clip(flat, 0.0, 1.0))

    def objective(self, scores: Mapping[str, Array]) -> float:
        """The joint program's objective at some scores, by a forward pass of all images.

        No program is solved. In the sound gates it is an upper bound of the optimum.

        Parameters
        ----------
        scores : mapping of str to array
            Scores (units,) of each layer.

        Returns
        -------
        float
            weight * mean loss + sparsity, infinite where an image misses a margin that rows hold.
        """
        form = self.formulation
        scale = gate_scale(self.network, self.images, form.gate, float(form.epsilon or 0.0))
        logits = gated_logits(self.network, self.images, dict(scores), form.gate, scale)
        loss = loss_named(form.loss)
        losses = loss.values(logits, self.labels, form.margin)
        flat = np.concatenate([np.asarray(scores[group.name]) for group in self.network.groups])
        price = sparsity_named(form.sparsity).value(self.network, flat)
        if not loss.weighted:
            return price if float(losses.max()) <= 0.0 else np.inf
        counted = losses if self.weights is None else self.weights * losses
        return float(form.weight * counted.mean() + price)

    @property
    def extension(self) -> type[ForwardPass]:
        """An extension of mpi-sppy that keeps the best scores seen, by forward passes.

        Give it to progressive hedging as ``extensions=``, with ``extension_kwargs={"scenarios": ...}``.

        Raises
        ------
        SolverMissingError
            Where mpi-sppy is not installed.
        """
        from oamip_model.stochastic.forward_pass import extension_of_mpisppy

        try:
            return extension_of_mpisppy()
        except ImportError as error:
            raise SolverMissingError(f"scenarios: their extension needs {_EXTRA} ({error})") from None

    def _rows(self, name: str) -> NDArray[np.int64]:
        if name not in self.rows:
            raise InputError(f"scenario: got {name!r}, accepted are {self.names[0]} to {self.names[-1]}")
        return self.rows[name]


def scenarios(
    network: Network,
    images: AnyImages,
    labels: ArrayLike | None = None,
    formulation: Formulation | None = None,
    *,
    size: int = 1,
    bounds: str | Tightening = "interval",
) -> Scenarios:
    """The joint program of many images as scenarios for mpi-sppy.

    The scores are the first stage. One scenario holds one image, or ``size`` of them, and is as likely as
    its share of the images and their weights, so that the expected cost is the joint program's objective. It also makes
    ``SolverFactory("oamip:highs")`` known to Pyomo, which adds the tangents of a loss while it solves.

    Parameters
    ----------
    network : Network
        What :func:`oamip_model.read_network` returns.
    images : Dataset, array, torch Dataset or DataLoader
        Images of shape ``(n, *input_shape)``.
    labels : array of int, optional
        One for each image, where the images do not carry them.
    formulation : Formulation, optional
        The program, ``Formulation()`` by default.
    size : int, default 1
        Images of each scenario; the last one may have fewer.
    bounds : str or Tightening, default "interval"
        How pre-activations are bounded, scenario by scenario.

    Returns
    -------
    Scenarios
        Names, probabilities and the scenario creator.

    Raises
    ------
    InputError
        For whatever does not fit.

    Examples
    --------
    >>> import numpy as np, torch, oamip_model as om
    >>> _ = torch.manual_seed(0)
    >>> module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> found = om.scenarios(om.read_network(module), np.eye(2), [0, 1])
    >>> found.names, found.probability("image1"), len(found.model("image1").s)
    (['image0', 'image1'], 0.5, 3)
    """
    images = images.counted if isinstance(images, Dataset) else images
    x, y = as_arrays(images, labels)
    pixels = network.check_images(x)
    marks = check_labels(y, network.classes)
    network.check_scored()
    form = Formulation() if formulation is None else formulation
    shares = image_shares(weights_of(images), len(pixels), form.loss)
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise InputError(f"size: got {size!r}, accepted is a number of images from 1")
    count = len(pixels)
    if count == 0 or len(marks) != count:
        raise InputError(f"labels: got {len(marks)} labels for {count} images, one each is needed")
    rows = [np.arange(k, min(k + size, count)) for k in range(0, count, size)]
    # mpi-sppy takes the number at the end of a name as the scenario's.
    names = [f"image{k}" if size == 1 else f"images{k}" for k in range(len(rows))]
    # Registers the solver.
    import oamip_model.stochastic.pyomo_solver  # noqa: F401

    parts = dict(zip(names, rows, strict=True))
    return Scenarios(network, pixels, marks, shares, form.settled(), as_tightening(bounds), parts)
