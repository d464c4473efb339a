"""What a pruning did, as numbers for tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oamip_model.network.counting.size import Size
from oamip_model.pruning.budgets.options import WORDS, Plan
from oamip_model.refit.report import RefitReport


@dataclass(frozen=True)
class PruneReport:
    """The units that were removed, and the parameters that this saved.

    Parameters
    ----------
    mode : {"mask", "remove"}
        Whether units were masked or removed.
    units : dict of str to int
        Number of units of each group.
    removed : dict of str to array of int
        The units of each group that were masked or removed.
    forced : tuple of tuple
        (group, unit) that the rule would have removed, but that is kept as the best of its layer.
    zeroed : dict of str to array of int
        Removed units that remain as zeros, because their layer cannot be cut, as with convolutions
        with groups. With mode "mask", those that removal would leave so.
    parameters_before, parameters_after : int
        Parameters of the module, with weights in and out of each unit, and biases. With mode
        "mask", those after removal.
    rebuilt : bool
        Whether the module was made from the network, and not by removal.
    reason : str
        Why it was.
    refit : RefitReport, optional
        The report of a refit.
    size_before, size_after : Size, optional
        Parameters with batch norm folded in, and multiply-accumulates, of the network before, and
        of that which is read from the new module.
    plan : Plan, optional
        The plan of a budget.
    """

    mode: str
    units: dict[str, int]
    removed: dict[str, NDArray[np.int64]]
    forced: tuple[tuple[str, int], ...]
    zeroed: dict[str, NDArray[np.int64]]
    parameters_before: int
    parameters_after: int
    rebuilt: bool
    reason: str = ""
    refit: RefitReport | None = None
    size_before: Size | None = None
    size_after: Size | None = None
    plan: Plan | None = None

    @property
    def units_share(self) -> float:
        """Share of all scored units that went."""
        return sum(len(units) for units in self.removed.values()) / sum(self.units.values())

    @property
    def parameters_share(self) -> float:
        """Share of the parameters that went."""
        return 1 - self.parameters_after / self.parameters_before

    def summary(self) -> str:
        """A few plain sentences about units and parameters that were removed.

        They name units that were not removed although the rule chose them.

        Examples
        --------
        >>> gone = {"fc1": np.array([0, 2])}
        >>> print(PruneReport("remove", {"fc1": 4}, gone, (), {}, 26, 13, False).summary())
        2 of 4 units removed (fc1 2 of 4), parameters 26 to 13 (50.0 % fewer)
        """
        went = sum(len(units) for units in self.removed.values())
        layers = ", ".join(f"{name} {len(units)} of {self.units[name]}" for name, units in self.removed.items())
        verb = "removed" if self.mode == "remove" else "masked"
        text = (
            f"{went} of {sum(self.units.values())} units {verb} ({layers}), parameters {self.parameters_before} to "
            f"{self.parameters_after} ({100 * self.parameters_share:.1f} % fewer)"
        )
        if self.size_before is not None and self.size_after is not None:
            fewer = 100 * (1 - self.size_after.macs / max(self.size_before.macs, 1))
            text += f", multiply-accumulates {self.size_before.macs} to {self.size_after.macs} ({fewer:.1f} % fewer)"
        if self.plan is not None:
            text += f"; {self.plan.summary()}"
            for name, by in self.plan.exceeded(self.size_after or self.plan.after).items():
                text += f"; the refit added {by} {WORDS[name]} of biases beyond the budget"
        if self.forced:
            stay = ", ".join(f"unit {unit} of {name}" for name, unit in self.forced)
            text += f"; kept although the rule would remove it, as the best of its layer: {stay}"
        if self.zeroed:
            zeros = ", ".join(f"{len(units)} of {name}" for name, units in self.zeroed.items())
            text += f"; zeroed, but still in the weights because the layer cannot be cut there: {zeros}"
        if self.rebuilt:
            text += f"; the module was rebuilt from the network: {self.reason}"
        if self.refit is not None:
            text += f"; {self.refit.summary()}"
        return text
