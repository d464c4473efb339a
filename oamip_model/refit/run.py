"""The levels of a refit, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from oamip_model.data.given import AnyImages
from oamip_model.data.weights import fingerprint
from oamip_model.errors import InputError
from oamip_model.network.types import Network
from oamip_model.refit.answer import answer, class_of, divergence
from oamip_model.refit.options import AnyRefit, as_refit
from oamip_model.refit.outgoing.fit import fit_outgoing
from oamip_model.refit.output import check_output, fit_output, fits_output
from oamip_model.refit.passed import fit_layers
from oamip_model.refit.report import RefitReport, Stage
from oamip_model.refit.slim import slim_network
from oamip_model.refit.stream import ImageStream, image_stream
from oamip_model.refit.walk import Walk
from oamip_model.torchnet.layers import TorchLayers


def refit_network(
    network: Network,
    keep: Mapping[str, ArrayLike],
    images: AnyImages,
    refit: AnyRefit = "least-squares",
    progress: Callable[[str], None] | None = None,
) -> tuple[Network, RefitReport]:
    """The network with the layers behind cut units refitted, and a report.

    No labels are used. Weights of a Dataset count in the fit (mathematics:weights-2). The network has
    its first shape. Units that are cut have their old incoming weights, and are left out by the same
    masks, as :meth:`Network.replay` and :func:`oamip_model.prune` do.

    Parameters
    ----------
    network : Network
        The trained network.
    keep : mapping of str to array of bool
        Masks (units,) by group, True where a unit is kept.
    images : array, Dataset, torch Dataset or DataLoader
        Images (n, ...); labels, if any, only count how many are right.
    refit : str or Refit, default "least-squares"
        A level, or an object with all options.
    progress : callable, optional
        Called with a line of text.

    Returns
    -------
    network : Network
        The network with new weights.
    report : RefitReport
        What each level did.

    Raises
    ------
    InputError
        Where masks or images do not fit the network.

    Examples
    --------
    >>> import torch, oamip_model as om
    >>> _ = torch.manual_seed(0)
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> network, images = om.read_network(module, input_shape=(4,)), torch.rand(50, 4)
    >>> refitted, report = refit_network(network, {"0": [True, False, True]}, images)
    >>> [layer.layer for layer in report.layers], report.layers[0].after < report.layers[0].before
    (['2'], True)
    """
    options = as_refit(refit)
    stream = image_stream(network, images)
    slim = slim_network(network, _masks(network, keep))
    if options.level == "output":
        check_output(slim)
    if options.reaches("outgoing") and stream.count < 2:
        raise InputError(f"images: got {stream.count}, the level outgoing needs at least 2, of which one is held out")
    walk = Walk(network, slim, stream, options.device)
    judge = _Judge(network, stream, options.device)
    stages = [judge.stage("removal", slim.gates, slim.network, 0.0)]

    def finished(name: str, since: float) -> None:
        stages.append(judge.stage(name, slim.gates, walk.current, time.monotonic() - since))
        if progress is not None:
            progress(f"{name}: agreement {stages[-1].agreement:.4f}, loss {stages[-1].loss:.4g}")

    began = time.monotonic()
    layers = fit_layers(walk, options, lambda fit: progress(f"{fit.layer}: {fit.after:.3g}") if progress else None)
    finished("least-squares", began)
    output, outgoing = None, None
    # Logits of a convolution have no convex program; the passes of outgoing take them too.
    if options.reaches("output") and fits_output(slim):
        began = time.monotonic()
        output = fit_output(walk, options)
        finished("output", began)
    if options.reaches("outgoing"):
        began = time.monotonic()
        outgoing = fit_outgoing(walk, options, progress)
        finished("outgoing", began)
    report = RefitReport(
        options.level, stream.count, stream.source, judge.accuracy, tuple(stages), layers, output, outgoing,
        None if stream.weights is None else fingerprint(stream.weights),
    )  # fmt: skip
    return slim.widen(walk.current), report


def _masks(network: Network, keep: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.bool_]]:
    names = [group.name for group in network.groups]
    for name in keep:
        if name not in names:
            raise InputError(f"keep: unknown layer {name!r}, this network has {', '.join(names)}")
    found = {}
    for group in network.groups:
        mask = np.asarray(keep.get(group.name, np.ones(group.size)), dtype=bool)
        if mask.shape != (group.size,) or not mask.any():
            raise InputError(
                f"keep: layer {group.name} got a mask of shape {mask.shape} with {int(mask.sum())} units, accepted is "
                f"({group.size},) with at least one"
            )
        found[group.name] = mask
    return found


class _Judge:
    """How cut networks do on the images, against the trained one.

    accuracy: of the trained network, None without labels.
    """

    def __init__(self, network: Network, stream: ImageStream, device: str) -> None:
        self.stream, self.device = stream, device
        self.trained = TorchLayers(network, device)
        found = self.stage("trained", {}, network, 0.0)
        self.accuracy = found.accuracy

    @torch.no_grad()
    def stage(self, name: str, gates: Mapping[int, NDArray[np.float64]], network: Network, seconds: float) -> Stage:
        """How a network with these masks, by group index, does."""
        layers = TorchLayers(network, self.device)
        masks = {g: torch.as_tensor(m, dtype=layers.dtype, device=layers.device) for g, m in gates.items()}
        loss, same, right, labelled, count = 0.0, 0, 0, True, 0
        # The divergence is what is fitted, with weights of images. Agreement and accuracy count the images.
        for images, labels in self.stream:
            x = torch.as_tensor(images, dtype=layers.dtype, device=layers.device)
            trained = self.trained.output(x, {}).reshape(len(x), -1).double()
            logits = layers.output(x, masks).reshape(len(x), -1).double()
            loss += divergence(logits, answer(trained), self.stream.shares(count, logits))
            chosen = class_of(logits)
            same += int((class_of(trained) == chosen).sum())
            count += len(x)
            # With one logit, labels other than 0 and 1 are no classes.
            labelled = labelled and labels is not None and (logits.shape[1] > 1 or bool(np.isin(labels, (0, 1)).all()))
            if labelled:
                right += int((chosen.cpu().numpy() == labels).sum())
        return Stage(name, loss / count, same / count, right / count if labelled else None, seconds)
