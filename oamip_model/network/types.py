"""A trained network as plain data.

It is a short list of layers, and the units that may be scored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oamip_model.errors import InputError
from oamip_model.network.counting.size import Size, first_uses
from oamip_model.network.held import field_bytes
from oamip_model.network.layer import IMAGE, Activation, Layer, ScoreGroup, Term
from oamip_model.network.maps import Array, Shape
from oamip_model.network.table import text_table
from oamip_model.network.unscored import why_unscored

__all__ = ["IMAGE", "Activation", "Layer", "Network", "ScoreGroup", "Term"]


@dataclass(frozen=True)
class Network:
    """A trained ReLU network, as layers that images go through in order.

    The last layer gives the logits. ``print(network)`` is a table of the layers.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of one image.
    layers : tuple of Layer
        The layers, each with its linear map, its activation and its inputs.
    groups : tuple of ScoreGroup
        The units that carry scores. Units of several layers that residual additions tie together share
        a group.
    source : str, default ""
        Where the network was read from, in words.
    notes : tuple of str, default ()
        What the reader left out, such as a softmax at the end.

    Examples
    --------
    >>> import torch, oamip_model as om
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> network = om.read_network(module, input_shape=(4,))
    >>> [group.name for group in network.groups], network.classes
    (['0'], 2)
    """

    input_shape: Shape
    layers: tuple[Layer, ...]
    groups: tuple[ScoreGroup, ...]
    source: str = ""
    notes: tuple[str, ...] = ()
    """What the reader left out, such as a softmax at the end."""

    def __str__(self) -> str:
        """One line for each layer, and the size of the network in the last."""
        heads = ("layer", "reads", "maps", "activation", "output", "parameters", "scored units")
        rows = [self._row(layer) for layer in self.layers]
        scored = sum(group.size for group in self.groups)
        rows.append(("in all", "", "", "", "", f"{self.parameters:,}", str(scored)))
        return text_table(heads, rows, right={5, 6})

    def _row(self, layer: Layer) -> tuple[str, ...]:
        # A residual addition is a layer with several maps, each of which reads a layer of its own.
        reads = [
            f"image {_by(term.input_shape)}" if term.source == IMAGE else self.layers[term.source].name
            for term in layer.terms
        ]
        maps = [type(term.map).__name__ for term in layer.terms]
        activation = "max pooling" if layer.activation == "max" else layer.activation
        group = None if layer.group is None else self.groups[layer.group]
        units = "" if group is None else f"{group.size} ({group.name})" if group.name != layer.name else str(group.size)
        shape, parameters = _by(layer.shape), f"{layer.parameters:,}"
        return layer.name, " + ".join(reads), " + ".join(maps), activation, shape, parameters, units

    @property
    def classes(self) -> int:
        """Number of logits."""
        return self.layers[-1].size

    def check_scored(self, loss: bool = True) -> Network:
        """The network itself, where some layer carries a score.

        Parameters
        ----------
        loss : bool, default True
            Also make sure that it has two logits or more. With one, a loss over classes is a constant.

        Returns
        -------
        Network
            This object.

        Raises
        ------
        InputError
            Where scores or logits are missing.
        """
        if not self.groups:
            raise InputError(
                "network: no layer carries a score; one does where an affine layer before the output is followed by a "
                "ReLU, and its units are read behind that ReLU alone, with nothing added to them in between"
                + why_unscored(self.layers)
            )
        if loss and self.classes < 2:
            raise InputError("network: it has one logit; a loss over classes needs two or more")
        return self

    def by_group(self, scores: Array) -> dict[str, Array]:
        """Scores of all units as {group name: (units of it,)}.

        Parameters
        ----------
        scores : array
            Scores (units,) of all units, group after group.

        Returns
        -------
        dict of str to array
            The scores of each group.

        Examples
        --------
        >>> import numpy as np, torch, oamip_model as om
        >>> module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
        >>> om.read_network(module, input_shape=(4,)).by_group(np.array([1.0, 0.0, 0.5]))
        {'0': array([1. , 0. , 0.5])}
        """
        parts = np.split(scores, np.cumsum([group.size for group in self.groups])[:-1])
        return {group.name: part for group, part in zip(self.groups, parts, strict=True)}

    @cached_property
    def parameters(self) -> int:
        """Number of trained parameters, batch norm folded in.

        A bias of zeros counts as none, and weights that several layers share count once.
        """
        return self.size.parameters

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of one image, by every map with weights."""
        return self.size.macs

    @cached_property
    def size(self) -> Size:
        """Parameters and multiply-accumulates (mathematics:budget-1)."""
        terms = [term for layer in self.layers for term in layer.terms]
        return Size(
            sum(term.parameters for term in first_uses(self.layers)) + sum(layer.biases for layer in self.layers),
            sum(term.macs for term in terms),
        )

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the shapes and weights, equal for equal networks.

        It does not depend on the file that they came from.
        """
        digest = hashlib.sha256(repr(self.input_shape).encode())
        for layer in self.layers:
            pool = layer.pool
            if pool is not None:  # its output says where the windows end, whatever padding a file writes there
                pool = replace(pool, padding=(*pool.padding[:2], *pool.padding[:2]))
            digest.update(repr((layer.activation, layer.pre_shape, pool, layer.group)).encode())
            digest.update(np.ascontiguousarray(layer.bias).tobytes())
            for term in layer.terms:
                digest.update(repr((type(term.map).__name__, term.source, term.input_shape)).encode())
                for part in field_bytes(term.map):
                    digest.update(part)
        return digest.hexdigest()[:16]

    def check_images(self, images: ArrayLike) -> Array:
        """The images as an array in double precision.

        Parameters
        ----------
        images : array_like
            Images of shape ``(n, *input_shape)``.

        Returns
        -------
        array
            The same values, of the same shape.

        Raises
        ------
        InputError
            Where the shape does not fit, there is no image, or a pixel is not finite.
        """
        try:
            x = np.asarray(images, dtype=np.float64)
        except (TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"images: got {type(images).__name__}, which is no array of numbers ({reason})") from None
        size = int(np.prod(self.input_shape))
        if x.ndim < 2 or x.size != len(x) * size or (x.ndim > 2 and x.shape[1:] != self.input_shape):
            flat_fits = x.ndim > 2 and x.size == len(x) * size and (1 in self.input_shape or len(self.input_shape) == 1)
            if not flat_fits:
                wanted = ", ".join(str(n) for n in self.input_shape)
                raise InputError(f"images: got shape {x.shape}, the network takes (n, {wanted})")
        if len(x) == 0:
            raise InputError("images: got none, at least one is needed")
        if not np.isfinite(x).all():
            raise InputError(
                f"images: image {int(np.argwhere(~np.isfinite(x))[0][0])} has a pixel that is NaN or infinite"
            )
        return x.reshape(len(x), *self.input_shape)

    def replay(self, images: ArrayLike, scores: dict[str, NDArray[np.float64]] | None = None) -> Array:
        """Logits of the images, by a forward pass in numpy.

        A fractional score has a meaning only together with a gate: see
        :mod:`oamip_model.solving.replay`.

        Parameters
        ----------
        images : array_like
            Images of shape ``(n, *input_shape)``.
        scores : dict of str to array, optional
            Scores by group name, which keep (1) or remove (0) units. A unit's activation is multiplied by
            its score, which for scores of 0 and 1 is the same as removing the unit.

        Returns
        -------
        array
            Logits (n, classes).
        """
        outputs = self.activations(images, scores)
        return outputs[-1].reshape(len(outputs[-1]), -1)

    def activations(
        self,
        images: ArrayLike,
        scores: dict[str, NDArray[np.float64]] | None = None,
        passed: Callable[[int, Array, Array], Array] | None = None,
    ) -> list[Array]:
        """The output of every layer.

        Parameters
        ----------
        images : array_like
            Images of shape ``(n, *input_shape)``.
        scores : dict of str to array, optional
            Scores by group name, as in :meth:`replay`.
        passed : callable, optional
            A function of the number of a scored layer, its pre-activations a and their scores s. It
            gives the layer's output, by default max(0, a) * s.

        Returns
        -------
        list of array
            One array of shape ``(n, *layer.shape)`` for each layer.
        """
        return [output for _, output in self.layer_values(images, scores, passed)]

    def layer_values(
        self,
        images: ArrayLike,
        scores: dict[str, NDArray[np.float64]] | None = None,
        passed: Callable[[int, Array, Array], Array] | None = None,
    ) -> Iterator[tuple[Array, Array]]:
        """Pre-activation and output of each layer in turn, as in :meth:`activations`.

        Parameters
        ----------
        images : array_like
            Images of shape ``(n, *input_shape)``.
        scores : dict of str to array, optional
            Scores by group name, as in :meth:`replay`.
        passed : callable, optional
            What a scored layer passes on, as in :meth:`activations`.

        Yields
        ------
        tuple of array
            The pre-activation and the output of a layer.
        """
        x = self.check_images(images)
        outputs: list[Array] = []
        for k, layer in enumerate(self.layers):
            a = layer.pre_activation([x if term.source == IMAGE else outputs[term.source] for term in layer.terms])
            if scores is None or layer.group is None:
                outputs.append(layer.activate(a))
            else:
                s = scores[self.groups[layer.group].name][layer.units].reshape(layer.shape)
                outputs.append(layer.activate(a) * s if passed is None else passed(k, a, s))
            yield a, outputs[-1]


def _by(shape: Shape) -> str:
    return "x".join(str(size) for size in shape)
