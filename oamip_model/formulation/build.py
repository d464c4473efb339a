"""From a network and labelled images to an instance of the abstract model."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pyomo.environ as pyo
from numpy.typing import ArrayLike
from pyomo.common.gc_manager import PauseGC

from oamip_model.bounds import Bounds, compute_bounds, interval_bounds
from oamip_model.data import check_labels
from oamip_model.data.given import AnyImages, as_dataset, is_array, weights_of
from oamip_model.errors import InputError
from oamip_model.formulation.arrange import arrange
from oamip_model.formulation.gates import gate_named
from oamip_model.formulation.losses import loss_named
from oamip_model.formulation.losses.shares import image_shares
from oamip_model.formulation.model import abstract_model
from oamip_model.formulation.relaxations import groups_of
from oamip_model.formulation.relaxations.partition import partition
from oamip_model.formulation.settings import Formulation, validity_of
from oamip_model.formulation.sparsities import sparsity_named
from oamip_model.formulation.sparsities.base import Linear
from oamip_model.network.maps import Array
from oamip_model.network.types import Network


def gate_scale(network: Network, images: ArrayLike, gate: str, epsilon: float = 0.0) -> tuple[Array, ...]:
    """The score scale M of every layer (mathematics:gate-sub-2).

    Each has the shape (n, pre-activations).

    U+ of the score-aware interval bounds in the sound gates, of the trained network's in ``published``. It says what a
    fractional score means, so it does not depend on how tight the bounds of the program are.
    """
    bounds = interval_bounds(network, images, validity=validity_of(gate), epsilon=epsilon)
    return tuple(np.maximum(upper, 0.0) for upper in bounds.upper)


def instance_data(
    network: Network,
    images: ArrayLike,
    labels: ArrayLike,
    settings: Formulation,
    bounds: Bounds | str = "interval",
    weights: ArrayLike | None = None,
) -> dict[None, dict[str, Any]]:
    """The data of one instance, as ``AbstractModel.create_instance`` takes it.

    images: (n, *input_shape); labels: (n,) integers; bounds: a method's name, or bounds computed before for the same
    network, images and gate; weights: (n,) from 0. Raises InputError for whatever does not fit.
    """
    x = network.check_images(images)
    y = loss_named(settings.loss).check(network.classes, check_labels(labels, network.classes))
    if len(y) != len(x):
        raise InputError(f"labels: got {len(y)} labels for {len(x)} images")
    shares = image_shares(weights, len(x), settings.loss)
    network.check_scored(loss=False)
    epsilon = float(settings.epsilon or 0.0)
    validity = validity_of(settings.gate)
    if isinstance(bounds, str):
        bounds = compute_bounds(network, x, bounds, validity=validity, epsilon=epsilon)
    elif isinstance(bounds, Bounds):
        bounds.check_fit(network, x, validity, epsilon)
        if bounds.cutoff is not None and shares is not None:
            raise InputError("bounds: computed with a cutoff, in which all images count alike; got images with weights")
        if bounds.cutoff is not None:
            bounds.cutoff.check_fit(y, settings.weight, settings.loss, settings.sparsity, settings.margin)
    else:
        raise InputError(f"bounds: got {bounds!r}, accepted are a method's name and a Bounds object")
    gate = gate_named(settings.gate)
    if not gate.tightens and bounds.method != "interval":
        # The published bounds do not hold below a score of 1, so they are part of the problem: tighter ones forbid
        # other scores. Of other gates a fractional score may pass on what tighter bounds leave out.
        raise InputError(f"bounds: the gate {gate.name} is defined by interval bounds, got {bounds.method}")
    scale_from = interval_bounds(network, x, validity="every score", epsilon=epsilon)
    layout = arrange(network, x, bounds, scale_from, gate)
    if groups_of(settings.relaxation) > 1:
        layout.parts = partition(layout, groups_of(settings.relaxation))
    sizes = {group.name: group.size for group in network.groups}
    images_, classes = range(len(x)), range(network.classes)
    data: dict[str, Any] = {
        "IMAGE": {None: list(images_)},
        "CLASS": {None: list(classes)},
        "GROUP": {None: list(sizes)},
        "UNIT": {None: layout.unit},
        "PRE": {None: layout.pre},
        "ACT": {None: layout.act},
        "STATE": {None: layout.state},
        "CHOICE": {None: layout.choice},
        "LOGIT": {None: [(n, c) for n in images_ for c in classes]},
        "layout": {None: layout},
        "label_array": {None: y},
        "image_weights": {None: np.ones(len(x)) if shares is None else shares},
        "trained_logits": {None: network.replay(x)},
        "size": sizes,
        "divisor": {group.name: group.divisor for group in network.groups},
        "weight": {None: settings.weight},
        "margin": {None: settings.margin},
    }
    if layout.parts is not None:
        data["PART"] = {None: layout.parts.names}
        data["KEPT"] = {None: [layout.parts.names[k] for k in layout.parts.kept.tolist()]}
    return {None: data | sparsity_named(settings.sparsity).data(network, layout.unit)}


def sparsity_weights(network: Network, sparsity: str) -> Array:
    """Weight of each unit's score in a linear sparsity, (units,).

    The first group comes first. The weights add up to 1.

    Raises InputError for a sparsity that is not linear, as the published one is.
    """
    found = sparsity_named(sparsity)
    if not isinstance(found, Linear):
        raise InputError(f"sparsity: got {sparsity!r}, which has no weights of units")
    return found.shares(network)


def build_instance(
    network: Network,
    images: AnyImages,
    labels: ArrayLike | None = None,
    formulation: Formulation | None = None,
    *,
    bounds: Bounds | str = "interval",
    weights: ArrayLike | None = None,
) -> pyo.ConcreteModel:
    """An ordinary Pyomo model of the program for these images.

    It can be solved, written, printed, and added to.

    Parameters
    ----------
    network : Network
        The trained network.
    images : array, Dataset, torch Dataset or DataLoader
        Images of shape ``(n, *input_shape)`` with labels, or one of the others alone.
    labels : array of int, optional
        Labels (n,) of images that are given as an array.
    formulation : Formulation, optional
        The choices that fix the program.
    bounds : str or Bounds, default "interval"
        Bounds of the pre-activations, or the method that computes them.
    weights : array, optional
        Weights (n,) of the images' losses, from 0. Only their ratios count. A Dataset brings its own.

    Returns
    -------
    pyomo.environ.ConcreteModel
        The program, with the network and its layout beside it.

    Raises
    ------
    InputError
        For whatever does not fit.

    Examples
    --------
    >>> import numpy as np, torch, oamip_model as om
    >>> _ = torch.manual_seed(0)
    >>> module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> program = om.Formulation(loss="hinge")
    >>> instance = build_instance(om.read_network(module), np.ones((1, 2)), [0], program)
    >>> len(instance.s), instance.objective.sense.name
    (3, 'minimize')
    """
    settings = (formulation or Formulation()).settled()
    x, y = (cast("Any", images), labels) if is_array(images) and labels is not None else as_dataset(images, labels)
    # Many objects are made here, and all are kept, so that the garbage collector would scan them for nothing.
    with PauseGC():
        data = instance_data(network, x, y, settings, bounds, weights_of(images, weights))
        return abstract_model(settings).create_instance(data)
