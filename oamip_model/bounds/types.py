"""Bounds on pre-activations, with their validity and the ReLUs that they decide."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from oamip_model.bounds.cutoff import Cutoff
from oamip_model.bounds.report import LayerReport
from oamip_model.bounds.write import SIDES, write_bounds
from oamip_model.errors import InputError
from oamip_model.network.maps import Array
from oamip_model.network.types import Network

Validity: TypeAlias = Literal["every score", "trained network"]


def fingerprint_images(images: Array) -> str:
    """Hash of the images' values (n, ...): equal for equal images, in the same order."""
    data = np.ascontiguousarray(images, dtype=np.float64)
    return hashlib.sha256(repr(data.shape).encode() + data.tobytes()).hexdigest()[:16]


@dataclass(frozen=True)
class Bounds:
    """Lower and upper bounds of every pre-activation, for every image.

    A pre-activation is a value of a layer's affine map, before its activation.

    Parameters
    ----------
    lower, upper : tuple of array
        One array of shape (n, pre-activations) for each layer.
    output_lower, output_upper : tuple of array
        One array of shape (n, activations) for each layer, of the layer's output.
    method : str
        The method that computed them.
    validity : {"every score", "trained network"}
        The scores in [0, 1] for which they hold: all of them, or 1 for every unit only
        (mathematics:bounds-1, mathematics:gate-pub-6).
    epsilon : float
        Half width of the box around each pixel.
    network, images : str
        Fingerprints of the network and the images that they belong to.
    reports : tuple of LayerReport, default ()
        What each method decided in each ReLU layer, in the order in which the methods ran.
    cutoff : Cutoff, optional
        Where it is given, they hold only for scores whose objective is no larger than it.

    Examples
    --------
    >>> import torch, numpy as np, oamip_model as om
    >>> module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> bounds = om.compute_bounds(om.read_network(module), np.zeros((4, 2)))
    >>> [side.shape for side in bounds.lower], all((l <= u).all() for l, u in zip(bounds.lower, bounds.upper))
    ([(4, 3), (4, 2)], True)
    """

    lower: tuple[Array, ...]
    upper: tuple[Array, ...]
    output_lower: tuple[Array, ...]
    output_upper: tuple[Array, ...]
    method: str
    validity: Validity
    epsilon: float
    network: str
    images: str
    reports: tuple[LayerReport, ...] = ()
    cutoff: Cutoff | None = None

    @property
    def told(self) -> str:
        """The method that computed them, with its cutoff, in a line."""
        return self.method if self.cutoff is None else f"{self.method} up to {self.cutoff.objective!r}"

    def constant(self, layer: int) -> NDArray[np.bool_]:
        """Where a layer's pre-activation is one number, whatever the scores are.

        Parameters
        ----------
        layer : int
            Number of the layer, from 0.

        Returns
        -------
        array of bool
            A mask of shape (n, pre-activations).
        """
        return np.asarray(self.lower[layer] == self.upper[layer])

    def stability(self, network: Network) -> dict[str, tuple[int, int, int]]:
        """Counts (always off, always on, unstable) of ReLUs, by layer name.

        Parameters
        ----------
        network : Network
            The network that the bounds belong to.

        Returns
        -------
        dict of str to tuple of int
            The three counts of each ReLU layer's activations, over all images.
        """
        return {
            layer.name: (
                int((self.upper[k] <= 0).sum()),
                int(((self.lower[k] >= 0) & (self.upper[k] > 0)).sum()),
                int(((self.lower[k] < 0) & (self.upper[k] > 0)).sum()),
            )
            for k, layer in enumerate(network.layers)
            if layer.activation == "relu"
        }

    def of_image(self, number: int, image: Array) -> Bounds:
        """The bounds of one of the images, by its number.

        They are valid for it alone, as for all together.

        Parameters
        ----------
        number : int
            Position of the image among those of the bounds.
        image : array
            The image itself, of shape ``(*input_shape)``, whose fingerprint the result has.

        Returns
        -------
        Bounds
            Arrays with one row each.
        """
        all_four = (self.lower, self.upper, self.output_lower, self.output_upper)
        lower, upper, out_lower, out_upper = (tuple(a[number : number + 1] for a in arrays) for arrays in all_four)
        return replace(
            self, lower=lower, upper=upper, output_lower=out_lower, output_upper=out_upper,
            images=fingerprint_images(image[None]), reports=(),
        )  # fmt: skip

    def save(self, path: str | Path) -> None:
        """Write the bounds to an .npz file, which :func:`load_bounds` reads.

        Parameters
        ----------
        path : str or Path
            A file that ends in .npz.

        Raises
        ------
        InputError
            For another suffix, or a path that cannot be written.
        """
        facts = {name: getattr(self, name) for name in ("method", "validity", "epsilon", "network", "images")}
        facts["reports"] = [asdict(report) for report in self.reports]
        facts["cutoff"] = None if self.cutoff is None else asdict(self.cutoff)
        write_bounds(path, {side: getattr(self, side) for side in SIDES}, facts)

    def check_fit(self, network: Network, images: Array, validity: Validity, epsilon: float) -> None:
        """Raise InputError unless the bounds belong to this network and these images.

        Parameters
        ----------
        network : Network
            The network of the program.
        images : array
            The images of the program, of shape ``(n, *input_shape)``.
        validity : {"every score", "trained network"}
            What the program's gate needs.
        epsilon : float
            Half width of the box around the images.

        Raises
        ------
        InputError
            Where one of them is not what the bounds were computed for.
        """
        pairs = (
            ("network", self.network, network.fingerprint),
            ("images", self.images, fingerprint_images(images)),
            ("validity", self.validity, validity),
            ("epsilon", self.epsilon, epsilon),
        )
        for what, mine, wanted in pairs:
            if mine != wanted:
                raise InputError(f"bounds: computed for {what} {mine}, but the program needs {what} {wanted}")
