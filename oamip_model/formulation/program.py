"""An instance of the model as solving reads it.

It is typed, where a Pyomo model says nothing of its components.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oamip_model.errors import InputError
from oamip_model.formulation.gates import gate_named
from oamip_model.formulation.gates.base import Gate
from oamip_model.formulation.layout import Layout
from oamip_model.formulation.losses import loss_named
from oamip_model.formulation.losses.base import Loss
from oamip_model.formulation.matrix import MatrixConstraint
from oamip_model.formulation.objective import tangents
from oamip_model.formulation.rows import MatrixRows
from oamip_model.formulation.sparsities import sparsity_named
from oamip_model.formulation.sparsities.base import Sparsity
from oamip_model.network.maps import Array

_NEEDED = ("s", "a", "h", "z", "q", "o", "layout", "label_array", "image_weights", "weight", "margin", "gate")


@dataclass(frozen=True, eq=False)
class Program:
    """A program of scores: a Pyomo model, and the objects that it was made of.

    A user may have changed the model.

    Parameters
    ----------
    model : pyomo.environ.ConcreteModel
        The instance. Its variables are s, a, h, z, q, o, and those of the sparsity and of a
        partition.
    layout : Layout
        Its rows and bounds as arrays.
    gate, loss, sparsity
        Their objects.
    labels : array of int
        Labels of the images, (n,).
    image_weights : array
        Weights of the images' losses, (n,), with mean 1.
    losses : pyomo.environ.Var, optional
        The variable t, None where the loss is not in the objective.
    loss_tangents, hull_cuts, image_cuts : MatrixConstraint, optional
        The constraints that solving adds rows to, None where the program has none.
    """

    model: Any
    layout: Layout
    gate: Gate
    loss: Loss
    sparsity: Sparsity
    labels: NDArray[np.int64]
    image_weights: Array
    losses: Any
    loss_tangents: MatrixConstraint | None
    hull_cuts: MatrixConstraint | None
    image_cuts: MatrixConstraint | None

    @classmethod
    def of(cls, instance: Any) -> Program:
        """The program of an instance, which is still an ordinary Pyomo model.

        Raises InputError for a model that is none, or is still abstract.
        """
        missing = [name for name in _NEEDED if not hasattr(instance, name)]
        if missing or not instance.is_constructed():
            why = f"without {', '.join(missing)}" if missing else "that is still abstract"
            raise InputError(f"instance: got {type(instance).__name__} {why}, accepted is a model of om.build_instance")
        extra = [getattr(instance, name, None) for name in ("t", "loss_tangents", "hull_cuts", "image_cuts")]
        return cls(
            instance, instance.layout.value, gate_named(instance.gate), loss_named(instance.loss_kind),
            sparsity_named(instance.sparsity_kind), np.asarray(instance.label_array.value),
            np.asarray(instance.image_weights.value),
            *extra,
        )  # fmt: skip

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self.labels)

    @property
    def weight(self) -> float:
        """Weight of the loss."""
        return float(self.model.weight.value)

    @property
    def weights(self) -> Array:
        """Weight of each image's loss, (n,), of which the objective has the mean."""
        return self.weight * self.image_weights

    @property
    def cutoff(self) -> float:
        """The objective beyond which the bounds do not hold, inf where they always do."""
        return np.inf if self.layout.cutoff is None else float(self.layout.cutoff)

    @property
    def by_rounds(self) -> bool:
        """Whether the loss is approximated by tangents, in rounds."""
        return self.loss_tangents is not None and self.weight > 0

    def rows(self, name: str) -> MatrixConstraint | None:
        """The constraint of that name, None where the program has none."""
        found: MatrixConstraint | None = getattr(self.model, name, None)
        return found

    def losses_at(self, logits: Array) -> Array:
        """The loss of each image, (n,), for logits (n x classes,) in the order of LOGIT."""
        return self.loss.values(logits.reshape(self.images, -1), self.labels, float(self.model.margin.value))

    def tangents_at(self, logits: Array, images: NDArray[np.int64], first: int = 0) -> MatrixRows:
        """Tangents of the loss of some images (k,) at logits (k, classes).

        first: number of the first row.
        """
        return tangents(self.model, logits, images, first)
