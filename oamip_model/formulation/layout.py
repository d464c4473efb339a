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

    They are matrix @ variables + constant.

    matrix: csr (n x activations, columns); constant: (n x activations,). While a layout is being made a column is the
    number that a variable got when it was first needed; in a finished :class:`Layout` columns are those of s, a, h in
    turn.
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

    act, pre: entries of ACT and PRE; lower, upper: bounds L, U of the pre-activation; scale: M of the gate; score:
    entry of UNIT, or -1; state: entry of STATE, or -1 where the bounds decide the ReLU.
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

    act: entry of ACT that the window belongs to; entries: the expressions of the inputs; big_m: Umax_{-j} - L_j, the
    largest upper bound of the other entries less the lower bound of this one.
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

    row: entry of :class:`Gated`; sums: of the group's terms in the pre-activation, without its constant; low, high:
    bounds of each; names: (image, layer, activation, group); kept: entries whose ReLU has a score.
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

    unit: (group name, unit); pre, act, state: names of the entries of a, h, z; choice: (image, layer, output, entry)
    of q; pre_rows: a = these expressions: pre-activations of gated ReLUs, and outputs of a layer that are sums which a
    later layer reuses; pre_lower, pre_upper, act_lower, act_upper: bounds of a and h; logits: (n x classes);
    score_lower: least score that the rows allow; cutoff: an objective beyond which the bounds do not hold, or None;
    parts: of the relaxations with two groups or more.
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
