"""The program of one image alone, with multipliers in the place of the sparsity."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pyomo.core.expr.numeric_expr import LinearExpression

from oamip_model.bounds import Bounds
from oamip_model.formulation import Formulation, build_instance
from oamip_model.network.maps import Array
from oamip_model.network.types import Network
from oamip_model.solving import solve_instance
from oamip_model.solving.options import Solver
from oamip_model.solving.registry import get_backend
from oamip_model.solving.treesearch.image_cuts import Alone


@dataclass(frozen=True)
class OneImage:
    """A solver of the programs of single images of a program.

    It is an :class:`oamip_model.solving.treesearch.image_cuts.ImageProgram`.

    images: (n, *input_shape); labels: (n,); bounds: of all the images; weights: (n,) of the losses, with mean 1.
    """

    network: Network
    images: Array
    labels: NDArray[np.int64]
    settings: Formulation
    bounds: Bounds
    solver: Solver
    weights: Array | None = None

    def __call__(self, alone: Alone, time_limit: float | None) -> tuple[float, Array]:
        """A lower bound of an image's program, and the best scores known (units,).

        The bound is within the image's gap of the least objective where time allows. Raises KeyboardInterrupt on
        Ctrl-C.
        """
        x, y = self.images[alone.image : alone.image + 1], self.labels[alone.image : alone.image + 1]
        settings = replace(self._weighed(alone.image), sparsity="mean")
        part = build_instance(self.network, x, y, settings, bounds=self.bounds.of_image(alone.image, x[0]))
        # Gaps are relative, and the objective may be near 0. A constant moves it between half the scale and the scale.
        scale = max(2.0 * (alone.value - alone.least), 10.0 * alone.gap)
        constant = scale - alone.value
        coefficients = [settings.weight, *alone.multipliers.tolist()]
        variables = [*part.t.values(), *part.s.values()]
        part.objective.set_value(LinearExpression(constant=constant, linear_coefs=coefficients, linear_vars=variables))
        name, threads, seed = self.solver.name, self.solver.threads, self.solver.seed
        solution = solve_instance(
            part, Solver(name, tolerance=alone.gap / scale, time_limit=time_limit, threads=threads, seed=seed),
            start=self.network.by_group(alone.start), search="tree",
        )  # fmt: skip
        if solution.interrupted:
            raise KeyboardInterrupt
        scores = np.concatenate(list(solution.scores.values())) if solution.scores else alone.start
        return -np.inf if solution.bound is None else solution.bound - constant, scores

    def ascend(self, multipliers: Array, start: Array, time_limit: float | None) -> Array:
        """Multipliers (n, units) whose programs have better bounds.

        See :func:`oamip_model.scoring.joint.multipliers.ascend`.
        """
        # Imported here, so that programs without a search in torch do not load torch.
        from oamip_model.scoring.joint.multipliers import ImageMinima, ascend

        parts = [(self.images[k : k + 1], self.labels[k : k + 1], self._weighed(k)) for k in range(len(self.images))]
        seed = self.solver.seed or 0
        minima = [ImageMinima(self.network, x, y, form, start, seed, time_limit) for x, y, form in parts]
        return ascend(minima, multipliers, get_backend(self.solver.name), time_limit)

    def _weighed(self, image: int) -> Formulation:
        """The formulation with the weight of one image's loss."""
        weight = 1.0 if self.weights is None else float(self.weights[image])
        return replace(self.settings, weight=weight * self.settings.weight)
