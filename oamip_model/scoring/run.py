"""Importance scores of a network, by a method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from oamip_model.clock import Deadline, within
from oamip_model.data import Dataset, check_labels
from oamip_model.data.given import AnyImages, as_dataset
from oamip_model.data.weights import fingerprint
from oamip_model.errors import InputError
from oamip_model.formulation.losses import loss_named
from oamip_model.formulation.losses.shares import image_shares
from oamip_model.network import Network, read_network
from oamip_model.runs.bars import shown
from oamip_model.runs.store import RunStore
from oamip_model.scoring.layer_methods import Elimination, Layerwise
from oamip_model.scoring.layerwise.heads import head_named, head_names
from oamip_model.scoring.method import Method
from oamip_model.scoring.methods import AllLayers, as_method, by_default
from oamip_model.scoring.result import Scores
from oamip_model.solving.options import Run, Solver, as_solver
from oamip_model.solving.protocol import Backend
from oamip_model.solving.registry import get_backend

if TYPE_CHECKING:
    from torch import nn


def score(
    network: Network | nn.Module | str | Path,
    images: AnyImages,
    labels: ArrayLike | None = None,
    method: str | Method | None = None,
    *,
    solver: str | Backend | Solver | None = None,
    run: Run | None = None,
) -> Scores:
    """Importance scores of a trained network's units, and what was proved about them.

    The programs are those of ElAraby, Wolf and Carvalho [1]_. The default solves none: it ranks
    units for :func:`oamip_model.prune` with a refit. Ctrl-C gives back the scores so far, marked as
    interrupted. Without any, KeyboardInterrupt is raised.

    Parameters
    ----------
    network : Network, torch.nn.Module, str or Path
        A network, a torch module in eval mode, or a .pt2, .onnx or .nnet file.
    images : array, Dataset, torch Dataset or DataLoader
        Images of shape ``(n, *input_shape)`` with labels, or one of the others alone.
    labels : array of int, optional
        Labels (n,) of images that are given as an array.
    method : str or Method, optional
        A name, or an object with its own options. Without one it is "elimination", or "forward" where a
        solver is given, or a run that elimination has no use for:

        - Without a program and without labels: "elimination" (:class:`Elimination`), units one by
          one, those first that a least squares refit misses least.
        - Layer by layer, from any number of images: "forward" (:class:`Forward`), "backward"
          (:class:`Backward`) and "decoupled" (:class:`Decoupled`).
        - By programs of all layers, from about ten images: "joint" (:class:`Joint`), "batches"
          (:class:`Batches`) and "per-class" (:class:`PerClass`).
    solver : str, Backend or Solver, optional
        A name of ``oamip solvers``, or an object with limits; "highs" where a method has programs
        and none is given. A method without programs takes none.
    run : Run, optional
        Where programs are solved, how many at a time, and how long.

    Returns
    -------
    Scores
        The scores by layer, with status, gap and proof.

    Raises
    ------
    InputError
        For whatever is given wrong.
    SolverMissingError
        Where the solver is not there.
    SolverError
        Where no program gave scores.

    References
    ----------
    .. [1] M. ElAraby, G. Wolf, M. Carvalho: OAMIP: Optimizing ANN Architectures Using Mixed-Integer
       Programming, CPAIOR 2023, doi 10.1007/978-3-031-33271-5_15.

    Examples
    --------
    >>> import torch, oamip_model as om
    >>> _ = torch.manual_seed(0)
    >>> module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> images, labels = [[1.0, 0.5], [0.2, 0.9]], [0, 1]
    >>> result = om.score(module, images)
    >>> result.strategy, result.by_layer["0"].shape
    ('elimination', (3,))
    >>> program = om.score(module, images, labels, solver="highs")
    >>> program.strategy, program.status
    ('forward', 'optimal')
    >>> om.score(module, images, labels, om.Joint(om.Formulation(scores="binary", sparsity="mean"))).proved
    True
    """
    if isinstance(labels, Method):
        raise InputError(f"labels: got {labels!r}, a method is given as method=")
    given, where = None if solver is None else as_solver(solver), Run() if run is None else run
    if method is None:
        asked = by_default(as_method, lambda usual: usual.check_given(given, where))
    else:
        asked = as_method(method)
    asked.check_given(given, where)
    how = as_solver("highs") if given is None else given
    with shown(where.tell, where.progress is None, "programs") as tell:
        return _score(network, images, labels, asked, how, where if tell is None else replace(where, progress=tell))


def _score(
    network: Network | nn.Module | str | Path,
    images: AnyImages,
    labels: ArrayLike | None,
    asked: Method,
    how: Solver,
    where: Run,
) -> Scores:
    """Scores by checked options."""
    total = Deadline(where.total_time_limit)
    if isinstance(asked, Elimination):
        from oamip_model.scoring.layerwise.eliminated import elimination_scores

        with within(total):
            given = images if labels is None else as_dataset(images, labels)
            given = given.counted if isinstance(given, Dataset) else given
            return _with_weights(elimination_scores(network, given, asked, where, total), given)
    data = as_dataset(images, labels).counted
    with within(total):
        plain = as_network(network, data)
    x, y = plain.check_images(data.images), check_labels(data.labels, plain.classes)
    y = loss_named(_loss_of(asked, plain.classes)).check(plain.classes, y)
    image_shares(data.weights, len(x), _loss_of(asked, plain.classes))
    get_backend(how.name)
    kept = RunStore(where.store)
    with within(total), kept.alone():
        if isinstance(asked, Layerwise):
            from oamip_model.scoring.layerwise.scores import layerwise_scores

            made = read_heads(plain, asked.heads or {})
            marked = Dataset(x, y, data.source, plain.classes, weights=data.weights)
            return _with_weights(layerwise_scores(plain, marked, asked, how, where, kept, made, total), data)
        assert isinstance(asked, AllLayers)
        # Pyomo takes longer to load than a small network takes to score, so it waits for a program that needs it.
        from oamip_model.scoring.joint.program import Programs
        from oamip_model.scoring.joint.whole import whole_network_scores

        programs = Programs(plain, x, y, data.indices, asked, how, data.shares)
        return _with_weights(whole_network_scores(programs, data.source, where, kept, total), data)


def _with_weights(scores: Scores, images: AnyImages) -> Scores:
    """The scores, whose options say which weights the images had where these count differently."""
    shares = images.shares if isinstance(images, Dataset) else None
    if shares is None:
        return scores
    known = {"fingerprint": fingerprint(shares), "least": float(shares.min()), "most": float(shares.max())}
    return replace(scores, options=scores.options | {"weights": known})


def _loss_of(asked: Method, classes: int) -> str:
    """Name of the method's loss. Raises InputError where its head is trained on classes and there is one logit."""
    if isinstance(asked, AllLayers):
        return asked.formulation.loss
    assert isinstance(asked, Layerwise)
    if classes == 1 and head_named(asked.head).trained:
        fit = ", ".join(name for name in head_names() if not head_named(name).trained)
        raise InputError(f"head: {asked.head} is trained on classes, and the network has one logit; accepted are {fit}")
    return asked.loss


def read_heads(network: Network, heads: Mapping[str, Network | nn.Module]) -> dict[str, Network]:
    """Auxiliary heads as plain data.

    Raises InputError where one does not fit a scored layer of the network.
    """
    groups = {group.name: network.layers[group.layers[-1]].shape for group in network.groups}
    found = {}
    for name, given in heads.items():
        if name not in groups:
            raise InputError(f"heads: unknown layer {name!r}, this network scores {', '.join(groups)}")
        try:
            found[name] = given if isinstance(given, Network) else read_network(given, groups[name])
        except InputError as error:
            raise InputError(f"heads: that of layer {name} does not take its output {groups[name]}: {error}") from None
        if (found[name].input_shape, found[name].classes) != (groups[name], network.classes):
            raise InputError(
                f"heads: that of layer {name} goes from {found[name].input_shape} to {found[name].classes} classes, "
                f"the layer and the network from {groups[name]} to {network.classes}"
            )
    return found


def as_network(network: Network | nn.Module | str | Path, data: Dataset) -> Network:
    """The network as plain data; a module takes the shape of the images.

    Raises InputError where no layer of it carries a score.
    """
    if isinstance(network, Network):
        return network.check_scored(loss=False)
    shape = None if isinstance(network, str | Path) else data.images.shape[1:]
    return read_network(network, shape).check_scored(loss=False)
