"""What a refit did, level by level, and what of it is proved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oamip_model.refit.least_squares import LayerFit
    from oamip_model.refit.outgoing.fit import OutgoingFit
    from oamip_model.refit.output import OutputFit


@dataclass(frozen=True)
class Stage:
    """The cut network on the refit's images after a level.

    The level "removal" is before the first one.

    Parameters
    ----------
    name : str
        The level.
    loss : float
        Mean divergence from the trained network's softmax, in nats, or half the mean squared difference
        of a single logit.
    agreement : float
        Share of images whose class is that of the trained network.
    accuracy : float, optional
        Share of images whose class is their label, None without labels that are classes.
    seconds : float
        Wall clock of the level.
    """

    name: str
    loss: float
    agreement: float
    accuracy: float | None
    seconds: float


@dataclass(frozen=True)
class RefitReport:
    """What a refit did.

    Parameters
    ----------
    level : str
        The level of the refit.
    images : int
        Number of images that it was done from.
    source : str
        Where the images came from.
    trained_accuracy : float or None
        Accuracy of the network before the cut, on these images; None without labels.
    stages : tuple of Stage
        The removal, and each level.
    layers : tuple of LayerFit
        The least squares of the layers, in their order.
    output : OutputFit, optional
        The fit of the last layer, None where the level was not reached.
    outgoing : OutgoingFit, optional
        The training of the outgoing weights, None where the level was not reached.
    weights : str, optional
        Fingerprint of the images' weights, None where all count alike.

    Examples
    --------
    >>> import torch, oamip_model as om
    >>> _ = torch.manual_seed(0)
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 2)).eval()
    >>> network = om.read_network(module, input_shape=(4,))
    >>> keep = {"0": [True, True, True, False, False, False]}
    >>> _, report = om.refit_network(network, keep, torch.rand(40, 4))
    >>> [stage.name for stage in report.stages]
    ['removal', 'least-squares']
    """

    level: str
    images: int
    source: str
    trained_accuracy: float | None
    stages: tuple[Stage, ...]
    layers: tuple[LayerFit, ...]
    output: OutputFit | None = None
    outgoing: OutgoingFit | None = None
    weights: str | None = None

    @property
    def residual(self) -> float:
        """Largest relative residual of the layers' normal equations."""
        return max((layer.residual for layer in self.layers), default=0.0)

    def summary(self) -> str:
        """Two sentences: agreement or accuracy after each level, and what is proved.

        Returns
        -------
        str
            Text for people.

        Examples
        --------
        >>> stages = (Stage("removal", 0.5, 0.7, None, 0.0), Stage("least-squares", 0.1, 0.9, None, 0.2))
        >>> print(RefitReport("least-squares", 60, "images given as arrays", None, stages, ()).summary())
        refit from 60 images (images given as arrays), agreement with the trained network: removal 70.0 %, ...
        """
        parts = [f"{stage.name} {_percent(stage.accuracy, stage.agreement)}" for stage in self.stages]
        measure = "agreement with the trained network"
        if self.trained_accuracy is not None:
            measure = f"accuracy on them (trained network {100 * self.trained_accuracy:.1f} %)"
        proved = (
            f"each of {len(self.layers)} layers has its least squares to a relative residual of {self.residual:.1g}"
        )
        unproved = "anything about the network or other images"
        if self.output is not None:
            proved += f", the output layer is within {self.output.gap:.1g} nats of its optimum"
        if self.outgoing is not None:
            proved = f"before the last level {proved}"
            unproved = (
                f"the outgoing weights (those after pass {self.outgoing.kept} of {self.outgoing.passes}), or {unproved}"
            )
        counted = "images" if self.weights is None else "weighted images"
        text = f"refit from {self.images} {counted} ({self.source}), {measure}: {', '.join(parts)}"
        return f"{text}; proved: {proved}; not proved: {unproved}"

    def record(self) -> dict[str, Any]:
        """The report in plain types, for JSON.

        Returns
        -------
        dict of str to object
            The fields, with stages and layers as dictionaries.
        """
        from dataclasses import asdict

        return asdict(self) | {"residual": self.residual, "summary": self.summary()}


def _percent(accuracy: float | None, agreement: float) -> str:
    return f"{100 * (agreement if accuracy is None else accuracy):.1f} %"
