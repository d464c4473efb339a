"""Importance scores of a network, by a strategy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from oamip_model.bounds import Bounds
from oamip_model.clock import Deadline, within
from oamip_model.data import Dataset, check_labels
from oamip_model.errors import InputError
from oamip_model.formulation.gates import gate_named
from oamip_model.formulation.settings import Settings, check_choice
from oamip_model.network import Network, read_network
from oamip_model.scoring.given import check_heuristic, check_image_cuts, check_independent, check_numbers, check_used
from oamip_model.scoring.program import Solver
from oamip_model.scoring.result import Scores
from oamip_model.scoring.store import RunStore
from oamip_model.scoring.strategies import DEFAULT_STRATEGY, ELIMINATION, HEADS, LAYERWISE, STRATEGIES
from oamip_model.scoring.whole import Programs, whole_network_scores
from oamip_model.solving.parallel import Workers
from oamip_model.solving.protocol import Options, check_seconds
from oamip_model.solving.registry import get_backend
from oamip_model.solving.solve import check_search, check_tolerance
from oamip_model.tightening import BOUND_METHODS

if TYPE_CHECKING:
    from torch import nn


def score(
    network: Network | nn.Module | str | Path,
    images: Dataset | ArrayLike,
    labels: ArrayLike | None = None,
    *,
    solver: str = "highs",
    strategy: str = DEFAULT_STRATEGY,
    head: str = "pattern",
    heads: Mapping[str, Network | nn.Module] | None = None,
    program_images: int | None = None,
    amount: float | None = None,
    scope: str = "layer",
    sweeps: int = 1,
    exchanges: int | None = None,
    gate: str = Settings.gate,
    scores: str = "continuous",
    relaxed: bool = False,
    loss: str = "cross-entropy",
    sparsity: str = "published",
    weight: float = 5.0,
    margin: float = 1.0,
    epsilon: float | None = None,
    bounds: Bounds | str = "interval",
    relaxation: str | None = None,
    batch_size: int = 10,
    search: str = "solver",
    heuristic: bool | None = None,
    image_cuts: bool | None = None,
    tolerance: float | None = None,
    time_limit: float | None = None,
    total_time_limit: float | None = None,
    threads: int | None = 1,
    seed: int = 0,
    log_file: str | Path | None = None,
    device: str = "cpu",
    input_shape: Sequence[int] | None = None,
    jobs: int | None = None,
    engine: str = "loky",
    scheduler: str | None = None,
    store: str | Path | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Scores:
    """Importance scores of a trained network's units, and what was proved about them (mathematics:objective-1).

    network: a :class:`Network`, a torch module in eval mode, or a .pt2 or .onnx file; images: (n, *input_shape) with
    labels (n,), or a :class:`oamip_model.data.Dataset` alone.
    strategy: layer by layer, from any number of images, with one convex program for each: "forward" and "backward",
    first to last or last to first, with the layers before already cut, then ``sweeps`` times again with all others cut;
    "decoupled", every layer on its own. Or programs of all layers, from about 10 images: "joint", one for all images;
    "batches", one for each ``batch_size`` images in turn, scores averaged; "per-class", one for each class, scores
    averaged. Or without a program: "elimination", units of each layer one by one, those first that the least squares
    refit of :func:`oamip_model.prune` misses least (:mod:`oamip_model.scoring.eliminated`): it takes amount, device,
    seed and exchanges (pairs of a layer's units that are swapped at most, 20 unless given), and no labels.
    head, amount, scope, device: of the strategies layer by layer. head: "pattern", the rest of the network with each
    image's ReLU states held, which is exact in the last layer; "linear", a trained affine map; or, with mixed-integer
    programs from ``program_images`` of the images (50 unless given, at most 200), "rest", the rest of the network
    itself, and "auxiliary", a small classifier with hidden layers, trained from all images, or given in ``heads`` by
    layer name, as :func:`oamip_model.train_greedy` makes them; amount: share of the units that is to go, in the place
    of ``weight``: a path of weights is solved, and the scores are those by whose rank the cut network classifies most
    of the images correctly (of equals, that with the lowest loss); scope:
    of that share, "layer", of each layer's units with a weight for each, or "global", of all units by one weight for
    all layers, as :func:`oamip_model.prune` takes it: then the first scores are those of "decoupled", and "forward" and
    "backward" are orders of the sweeps; exchanges: with an amount, rounds (50 unless given) of a local search after the
    programs, in which a unit that stays is exchanged for one that goes where the network cut so does better, by share
    of images classified wrongly plus hinge loss (:mod:`oamip_model.scoring.exchange`), from 1,000 images on; device: of
    torch.
    gate, scores, relaxed, loss, sparsity, weight, margin, epsilon, relaxation: see
    :class:`oamip_model.formulation.Settings`; gate, relaxed, epsilon, loss "margin": of programs of all layers only;
    bounds: a method's name, or a :class:`oamip_model.bounds.Bounds` (joint only); bounds, relaxation: layer by layer,
    of the mixed-integer programs.
    search: of programs of all layers: "solver", the solver's own tree, or "tree", a tree of this package over the
    solver's linear programs (:mod:`oamip_model.solving.tree`); relaxation: unless given "hull" with "tree", which
    separates its cuts in every node, in a sound gate, and "big-m" otherwise.
    heuristic: of programs of all layers: whether scores from gradients through the network, and from moves of single
    scores, are the first incumbent (:func:`oamip_model.scoring.heuristic.find_scores`), which the result keeps unless
    the solver finds better ones. Unless given it is so in a sound gate with integer ReLU states, from 30 of them on,
    with the search "tree" from 100.
    image_cuts: of the search "tree", True unless given: whether programs of several images with 200 binaries or more
    and a loss get cuts from programs of one image each, by a solver that gives duals (HiGHS and Gurobi:
    :mod:`oamip_model.solving.image_cuts`).
    solver: a name of ``oamip solvers``; tolerance: relative gap at which a program counts as solved, 1e-4, and
    1e-3 layer by layer; time_limit: seconds for each program, bounds and heuristic included; total_time_limit: seconds
    for the whole run, exchanges included, which then ends with what it has, and says so; threads, seed, log_file:
    handed to the solver.
    jobs, engine, scheduler: how many programs are solved at a time and where, if none waits for another (batches,
    per-class, decoupled): see :class:`oamip_model.solving.parallel.Workers`. The scores are those of one job.
    store: a file to which each finished program is added, and from which a run that was killed goes on; progress:
    called with (programs finished, programs, a line of text).

    Ctrl-C gives back the scores found so far, marked as interrupted, and is raised on where there are none. Raises
    InputError for whatever is given wrong, SolverMissingError where the solver is not there, SolverError where no
    program gave scores.

    Example:
        >>> import torch, oamip_model as om
        >>> _ = torch.manual_seed(0)
        >>> module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
        >>> images, labels = [[1.0, 0.5], [0.2, 0.9]], [0, 1]
        >>> result = om.score(module, images, labels)
        >>> result.status, result.strategy, result.by_layer["0"].shape
        ('optimal', 'forward', (3,))
        >>> om.score(module, images, labels, strategy="joint", scores="binary", sparsity="mean").proved
        True
    """
    check_search(search)
    if search == "tree" and relaxed and scores == "continuous":
        raise InputError("search: got 'tree', but a relaxation with continuous scores is a linear program without one")
    if relaxation is None:
        relaxation = "hull" if search == "tree" and "hull" in gate_named(gate).relaxations else "big-m"
    settings = Settings(gate, relaxation, scores, relaxed, loss, sparsity, weight, margin, epsilon)
    check_choice("strategy", strategy, STRATEGIES)
    check_choice("head", head, HEADS)
    layerwise = strategy in LAYERWISE
    gap = tolerance if tolerance is not None else (1e-3 if layerwise else 1e-4)
    check_tolerance(gap)
    Options(time_limit, gap, threads, seed)
    check_seconds("total_time_limit", total_time_limit)
    total = Deadline(total_time_limit)
    if isinstance(bounds, str):
        check_choice("bounds", bounds, BOUND_METHODS)
    elif strategy != "joint":
        raise InputError(f"bounds: strategy {strategy} makes bounds of its own, accepted is a method's name")
    given = {
        "gate": gate, "relaxed": relaxed, "loss": loss, "margin": margin, "epsilon": epsilon, "batch_size": batch_size,
        "threads": threads, "log_file": log_file, "head": head, "amount": amount, "scope": scope, "sweeps": sweeps,
        "exchanges": exchanges, "device": device, "weight": weight, "bounds": bounds, "relaxation": relaxation,
        "program_images": program_images, "heads": heads, "heuristic": heuristic,
        "search": search, "image_cuts": image_cuts,
    }  # fmt: skip
    if strategy == ELIMINATION:
        given |= {"solver": solver, "scores": scores, "sparsity": sparsity, "tolerance": tolerance}
        given |= {"time_limit": time_limit, "store": store}
    check_used(strategy, head, loss, amount, given)
    check_numbers(amount, scope, sweeps, exchanges, program_images)
    workers = Workers(jobs, engine, scheduler)
    if workers.several:
        check_independent(workers, strategy, threads, log_file)
    if strategy == ELIMINATION:
        from oamip_model.scoring.eliminated import SWAPS, elimination_scores

        swaps = SWAPS if exchanges is None else exchanges
        return elimination_scores(
            network, images, amount, swaps=swaps, device=device, seed=seed, input_shape=input_shape, progress=progress
        )
    data = as_dataset(images, labels)
    with within(total):
        plain = as_network(network, data, input_shape)
    x, y = plain.check_images(data.images), check_labels(data.labels, plain.classes)
    get_backend(solver)
    kept = RunStore(store)
    if layerwise:
        from oamip_model.scoring.decoupled import layerwise_scores
        from oamip_model.scoring.plan import Plan

        plan = Plan(
            strategy, head, sparsity, scores == "binary", weight, loss, margin, amount, scope, sweeps=sweeps,
            solver=solver, tolerance=gap, time_limit=time_limit, seed=seed, device=device, bounds=str(bounds),
            relaxation=relaxation, exchanges=Plan.exchanges if exchanges is None else exchanges,
            program_images=Plan.program_images if program_images is None else program_images,
        )  # fmt: skip
        made = read_heads(plain, heads or {})
        with within(total), kept.alone():
            return layerwise_scores(plain, x, y, data, plan, workers, kept, progress, made, total)
    log = None if log_file is None else str(log_file)
    cuts = check_image_cuts(image_cuts, search)
    options = Solver(solver, gap, time_limit, threads, seed, log, check_heuristic(heuristic, settings), search, cuts)
    programs = Programs(plain, x, y, data.indices, settings, bounds, options)
    with within(total), kept.alone():
        return whole_network_scores(programs, data.source, strategy, batch_size, workers, kept, progress, total)


def read_heads(network: Network, heads: Mapping[str, Network | nn.Module]) -> dict[str, Network]:
    """Auxiliary heads as plain data. Raises InputError where one does not fit a scored layer of the network."""
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


def as_dataset(images: Dataset | ArrayLike, labels: ArrayLike | None) -> Dataset:
    """A dataset of what a caller gave: a Dataset alone, or images and labels."""
    if isinstance(images, Dataset):
        if labels is not None:
            raise InputError("labels: a Dataset carries its labels, none can be given beside it")
        return images
    if labels is None:
        raise InputError("labels: got none, one integer per image is needed")
    marks = check_labels(labels)
    return Dataset(images, marks, "arrays given by the caller", int(marks.max()) + 1)  # type: ignore[arg-type]


def as_network(
    network: Network | nn.Module | str | Path, data: Dataset, input_shape: Sequence[int] | None = None
) -> Network:
    """The network as plain data; a module without a given input shape takes the shape of the images.

    Raises InputError where no layer of it carries a score, or where it has one logit only.
    """
    if isinstance(network, Network):
        return network.check_scored()
    if input_shape is None and not isinstance(network, str | Path):
        input_shape = data.images.shape[1:]
    return read_network(network, input_shape).check_scored()
