"""Networks whose largest logit over the unit box is known from how they are made.

The logit is V + sum_j zigzag_j(a_j @ x - t_j), t_j = a_j @ x*, for directions a_j and an image x* inside the box. Each
zigzag is piecewise linear, 0 at 0 and negative elsewhere, with lower peaks on both sides. So no image has more than V,
and x* has V. A solver sees one ReLU for each bend of each zigzag, and peaks that are nearly as high elsewhere.
All numbers are multiples of powers of 2, so that the sums are exact in double precision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Array = NDArray[np.float64]
GRID = 16.0
"""Images, directions and bends are whole multiples of 1 / GRID."""


@dataclass(frozen=True)
class Planted:
    """A network with inputs in [0, 1], and the largest value of its logit 0 there.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    value : float
        The largest value.
    at : array
        Where it is taken, (inputs,).
    """

    module: nn.Module
    value: float
    at: Array


def planted(inputs: int, directions: int, bends: int, seed: int) -> Planted:
    """A network of zigzags in some directions, with a ReLU for each bend.

    Parameters
    ----------
    inputs, directions, bends : int
        Numbers of inputs, of zigzags, and of bends on either side of each.
    seed : int
        Seed of the draw.

    Examples
    --------
    >>> made = planted(4, 3, 2, seed=0)
    >>> logits = made.module(torch.as_tensor(made.at, dtype=torch.float32)[None])
    >>> float(logits[0, 0]) == made.value
    True
    """
    draw = np.random.default_rng(seed)
    at = draw.integers(4, 13, inputs) / GRID
    rows, biases, output = [], [], []
    for _ in range(directions):
        direction = draw.integers(-int(GRID), int(GRID) + 1, inputs) / GRID
        for side in (1.0, -1.0):
            turns, slopes = _zigzag(draw, bends)
            # relu(side * (a @ x - t) - turn), with the change of slope at each turn as its weight.
            rows += [side * direction] * bends
            biases += (-side * (direction @ at) - turns).tolist()
            output += np.diff(slopes, prepend=0.0).tolist()
    hidden, last = nn.Linear(inputs, len(rows)), nn.Linear(len(rows), 2)
    value = float(directions)
    with torch.no_grad():
        hidden.weight.copy_(torch.tensor(np.array(rows)))
        hidden.bias.copy_(torch.tensor(biases))
        last.weight.copy_(torch.tensor(np.array([output, np.zeros(len(rows))])))
        last.bias.copy_(torch.tensor([value, 0.0]))
    return Planted(nn.Sequential(hidden, nn.ReLU(), last).eval(), value, at)


def _zigzag(draw: np.random.Generator, bends: int) -> tuple[Array, Array]:
    """Where one side of a zigzag bends, from 0 on, and its slope from each bend: it falls, rises by less, and so on."""
    widths = draw.integers(2, 7, bends) / GRID
    turns = np.concatenate([[0.0], np.cumsum(widths)[:-1]])
    slopes, height = np.zeros(bends), 0.0
    for k in range(bends):
        # The rise ends at least 1 / GRID^2 below 0, and the last piece falls.
        room = int((-height - 1 / GRID**2) / widths[k] * GRID)
        rises = k % 2 == 1 and k < bends - 1 and room > 0
        slopes[k] = (draw.integers(max(1, room // 2), room + 1) if rises else -draw.integers(8, 33)) / GRID
        height += slopes[k] * widths[k]
    return turns, slopes
