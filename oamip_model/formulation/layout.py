"""Which variables a program needs, and rows of expressions in them.

They are the index sets of the model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.network.maps import Array

Index = NDArray[np.int64]
Name = tuple[int, str, int]
"""(image, layer name, activation): the index of the variables a, h and z."""


@dataclass
class Expressions:
    """Affine expressions in the program's variables, for n images stacked.

    They are matrix @ variables + constant. In a finished :class:`Layout` the columns are those of
    s, a, h in turn. While a layout is being made, a column is the number of a variable in the order
    of first use.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array
        Coefficients (n x activations, columns).
    constant : array
        Constants (n x activations,).
    """

    matrix: sp.csr_array
    constant: Array

    def counts(self) -> Index:
        """Number of variables in each expression."""
        return np.asarray(np.diff(self.matrix.indptr), dtype=np.int64)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Expressions:
        """The expressions of some rows."""
        return Expressions(sp.csr_array(self.matrix[rows]), self.constant[rows])


@dataclass
class Gated:
    """ReLU outputs that keep a variable h, one entry each.

    Parameters
    ----------
    act, pre : array of int
        Entries of ACT and PRE.
    lower, upper : array
        Bounds L, U of the pre-activation.
    scale : array
        M of the gate.
    score : array of int
        Entry of UNIT, or -1.
    state : array of int
        Entry of STATE, or -1 where the bounds decide the ReLU.
    """

    act: Index
    pre: Index
    lower: Array
    upper: Array
    scale: Array
    score: Index
    state: Index


@dataclass
class Pooled:
    """Window entries that can be the maximum of a max pooling, one entry each.

    The output is a variable h (mathematics:pool-2).

    Parameters
    ----------
    act : array of int
        Entry of ACT that the window belongs to.
    entries : Expressions
        The expressions of the inputs.
    big_m : array
        Umax_{-j} - L_j: the largest upper bound of the other entries less the lower bound of this
        one.
    """

    act: Index
    entries: Expressions
    big_m: Array


@dataclass
class Held:
    """Expressions that rows hold within limits.

    They are those of ReLUs that bounds decide which do not hold for every score: in the published gate
    (mathematics:gate-pub-4), and with a cutoff.
    """

    names: list[Name]
    rows: Expressions
    lower: Array
    upper: Array


@dataclass
class Parts:
    """Groups of inputs of gated ReLUs, one entry for each group (mathematics:part-1).

    Parameters
    ----------
    row : array of int
        Entry of :class:`Gated`.
    sums : Expressions
        The sum of the group's terms in the pre-activation, without its constant.
    low, high : array
        Bounds of each sum.
    names : list of tuple
        (image, layer, activation, group).
    kept : array of int
        Entries whose ReLU has a score.
    """

    row: Index
    sums: Expressions
    low: Array
    high: Array
    names: list[tuple[int, str, int, int]]
    kept: Index


@dataclass
class Layout:
    """Index sets, bounds and expressions of one program, for the abstract model.

    See mathematics:model-2..4.

    Parameters
    ----------
    unit : list of tuple
        (group name, unit).
    pre, act, state : list of tuple
        Names of the entries of a, h, z.
    choice : list of tuple
        (image, layer, output, entry) of q.
    pre_rows : Expressions
        The right sides of a. They are pre-activations of gated ReLUs, and sums that a later layer
        reuses.
    held : Held
        Limits of what decided ReLUs read.
    pre_lower, pre_upper, act_lower, act_upper : array
        Bounds of a and h.
    gated : Gated
        ReLUs that keep a variable.
    pooled : Pooled
        Entries of max pooling.
    logits : Expressions
        The logits (n x classes).
    score_lower : array
        The least score that the rows allow, (units,).
    cutoff : float, optional
        An objective beyond which the bounds do not hold.
    parts : Parts, optional
        Groups of inputs, for relaxations with two groups or more.
    """

    unit: list[tuple[str, int]]
    pre: list[Name]
    act: list[Name]
    state: list[Name]
    choice: list[tuple[int, str, int, int]]
    pre_rows: Expressions
    held: Held
    pre_lower: Array
    pre_upper: Array
    act_lower: Array
    act_upper: Array
    gated: Gated
    pooled: Pooled
    logits: Expressions
    score_lower: Array
    cutoff: float | None = None
    parts: Parts | None = None
