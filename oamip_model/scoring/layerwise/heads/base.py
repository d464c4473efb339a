"""What a head is: it solves the subproblem of one layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from oamip_model.scoring.layerwise.plan import LayerOutcome
from oamip_model.scoring.layerwise.task import LayerTask


class Head(ABC):
    """An object that takes the place of the layers after a scored one.

    Most are a :class:`~.convex_layer.ColumnHead`, which gives columns, or a :class:`~.mixed.MixedHead`, which gives a
    network.
    """

    name: ClassVar[str]
    trained: ClassVar[bool] = False
    """Whether it is a classifier that is trained, or was, and needs two logits or more."""
    mixed: ClassVar[bool] = False
    """Whether its programs are mixed-integer, so that they take some of the images, bounds and a relaxation."""
    linearised: ClassVar[bool] = False
    """Whether it is a linearisation at scores, which are those found so far where a layer is scored again."""
    takes_networks: ClassVar[bool] = False
    """Whether it takes networks that were trained before, by the names of their layers."""

    refits: ClassVar[bool] = False
    """Whether it stands for the network after a refit, of which a cut that is not refitted tells nothing."""

    @abstractmethod
    def solve(self, task: LayerTask, progress: Callable[[str], None] | None = None) -> LayerOutcome:
        """The scores of one layer, and what was proved about them.

        progress: called with lines of text. Raises TimeIsUp where a program got no time.
        """
