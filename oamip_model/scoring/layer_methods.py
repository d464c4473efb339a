"""The methods layer by layer and the elimination of units, with their options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from oamip_model.checks import Flag, Needs, option, options
from oamip_model.errors import InputError
from oamip_model.formulation.losses import LOSSES, loss_named, loss_names
from oamip_model.formulation.relaxations import RELAXATIONS
from oamip_model.formulation.settings import MARGIN, NOT_NEGATIVE, SCORES, WEIGHT, margined
from oamip_model.formulation.sparsities import SPARSITIES
from oamip_model.kinds import Choice, Made, Named, Number, Whole
from oamip_model.scoring.strategies import MOST_IMAGES, SCOPES
from oamip_model.tightening.methods import BOUND_METHODS

if TYPE_CHECKING:
    from torch import nn

    from oamip_model.network import Network

    Heads: TypeAlias = Mapping[str, Network | nn.Module]

from oamip_model.kinds import Numbers
from oamip_model.scoring.layer_options import EXCHANGES, LEVEL, PATH, Exchanges, LevelMethod
from oamip_model.scoring.layerwise.heads import HEADS, given_heads, mixed_heads, removing_heads
from oamip_model.scoring.method import Method

AMOUNT = Number(0, 1, least_open=True, most_open=True, words="a share of the units between 0 and 1")
_FOUND = Needs("amount", (None,), "with an amount the weight is found")
_MIXED = Needs("head", mixed_heads)
_REMOVES = Needs("head", removing_heads)


def _heads(given: Any) -> Any:
    if not isinstance(given, Mapping):
        raise ValueError
    return given


@options
class Layerwise(Method):
    """What the methods layer by layer share: a program for each layer."""

    run_fields: ClassVar[tuple[str, ...]] = (*Method.run_fields, "device")
    default_tolerance: ClassVar[float] = 1e-3

    amount: float | None = option(
        default=None, kind=AMOUNT, flag="--amount", help="Find the weights for removing this share of the units."
    )
    scope: str = option(
        default=SCOPES[0], kind=Choice(SCOPES), flag="--scope",
        help="--amount of each layer, or of all layers together, by one weight.",
        needs=(Needs("amount", None, "without an amount there is no share that it could be of"),),
    )  # fmt: skip
    head: str = option(
        default="pattern", kind=Named(HEADS), flag="--head",
        help="What stands for the layers after the scored one, layer by layer.",
    )  # fmt: skip
    heads: Heads | None = option(
        default=None, kind=Made("are heads by the names of their layers", _heads),
        help="Auxiliary heads that are trained already, as om.train_greedy makes them.",
        needs=(Needs("head", given_heads),),
    )  # fmt: skip
    weight: float = option(default=5.0, kind=NOT_NEGATIVE, flag="--weight", help=WEIGHT, needs=(_FOUND,))
    loss: str = option(
        default="cross-entropy", kind=Named(LOSSES), flag="--loss", help="What a wrong or narrow classification costs."
    )
    margin: float = option(
        default=1.0, kind=NOT_NEGATIVE, flag="--margin", help=MARGIN, needs=(Needs("loss", margined),)
    )
    sparsity: str = option(
        default="published", kind=Named(SPARSITIES), flag="--sparsity", help="Price of the scores of the layer."
    )
    scores: str = option(
        default="continuous", kind=Choice(SCORES), flag="--score-type", help="Scores in [0, 1], or in {0, 1}."
    )
    program_images: int = option(
        default=50, kind=Whole(1, MOST_IMAGES, words="a number of images of a mixed-integer program"),
        flag="--program-images", help="Images of each mixed-integer program (heads rest and auxiliary).",
        needs=(_MIXED,),
    )  # fmt: skip
    bounds: str = option(
        default="interval", kind=Choice(BOUND_METHODS), flag="--bounds", needs=(_MIXED,),
        help="How pre-activations of the mixed-integer programs are bounded.",
    )  # fmt: skip
    relaxation: str = option(
        default="big-m", kind=Choice(RELAXATIONS), flag="--relaxation", needs=(_MIXED,),
        help="Rows of each ReLU of the mixed-integer programs.",
    )  # fmt: skip

    weights: tuple[float, ...] = option(
        default=PATH, kind=Numbers(NOT_NEGATIVE), help="Weights that are tried for an amount, the least first.",
        needs=(Needs("amount", None, "without an amount the weight is given"),),
    )  # fmt: skip
    closer: int = option(
        default=4, kind=Whole(0, 100, words="a number of weights"),
        help="Weights between these that are tried then, to get to the amount.",
    )  # fmt: skip
    threshold: float = option(
        default=0.1,
        kind=Number(0, 1),
        help="Without an amount, units with a lower score count as cut.",
    )
    level: LevelMethod = option(default=LevelMethod(), kind=LEVEL, help="How the convex programs are solved.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not loss_named(self.loss).weighted:
            accepted = [name for name in loss_names() if loss_named(name).weighted]
            raise InputError(f"loss: got {self.loss!r}, but strategy {self.called} takes {' and '.join(accepted)}")
        if self.scope == SCOPES[1] and self.head not in removing_heads():
            raise InputError(
                f"scope: got {self.scope!r}, with head {self.head} accepted is {SCOPES[0]!r}; to share out the "
                "units of all layers, prune to a budget"
            )


@options
class Decoupled(Layerwise):
    """Each layer on its own, the others whole.

    Examples
    --------
    >>> Decoupled(amount=0.5)
    Decoupled(amount=0.5)
    >>> Decoupled().called
    'decoupled'
    """

    called: ClassVar[str] = "decoupled"


@options
class Ordered(Layerwise):
    """What "forward" and "backward" share: one layer is scored after the other."""

    alone: ClassVar[str] = (
        "scores a layer after the one before it is cut; accepted with it are the strategies batches, per-class, "
        "decoupled"
    )

    sweeps: int = option(
        default=1, kind=Whole(0, 100, words="a number"), flag="--sweeps", needs=(_REMOVES,),
        help="Forward and backward: rounds over the layers after the first.",
    )  # fmt: skip
    exchanges: int | Exchanges = option(
        default=50, kind=EXCHANGES, flag="--exchanges", shown="50",
        help="Rounds that exchange kept units for removed ones, where the smaller network does better so.",
        needs=(Needs("amount", None, "without an amount there is no number of units to keep to"), _REMOVES),
    )  # fmt: skip

    @property
    def exchanging(self) -> Exchanges:
        """The search for exchanges."""
        return self.exchanges if isinstance(self.exchanges, Exchanges) else Exchanges(self.exchanges)


@options
class Forward(Ordered):
    """Layers from the first to the last, those before already cut, with sweeps.

    Examples
    --------
    >>> Forward(amount=0.5, sweeps=2)
    Forward(amount=0.5, sweeps=2)
    """

    called: ClassVar[str] = "forward"


@options
class Backward(Ordered):
    """Layers from the last to the first, with later ones already cut, and sweeps.

    Examples
    --------
    >>> Backward(amount=0.5, exchanges=0)
    Backward(amount=0.5, exchanges=0)
    """

    called: ClassVar[str] = "backward"


@options
class Elimination(Method):
    """Units one by one, those first that a least squares refit misses least.

    No program is solved, no labels are used, and nothing is proved. With an amount each layer is judged
    with those before it cut by that amount and refitted, and units are swapped at the end. Without one
    each layer is ranked in the network as trained, for any amount and for budgets. A unit's score is then
    the share of its layer that is gone once it is.

    Examples
    --------
    >>> Elimination(amount=0.3)
    Elimination(amount=0.3)
    """

    called: ClassVar[str] = "elimination"
    solver_fields: ClassVar[tuple[str, ...]] = ()
    run_fields: ClassVar[tuple[str, ...]] = ("progress", "total_time_limit", "device")
    alone: ClassVar[str] = "solves no program"

    amount: float | None = option(
        default=None,
        kind=AMOUNT,
        flag="--amount",
        help="Share of each layer's units that is to go: layers are judged with those before cut and refitted.",
    )
    swaps: int = option(
        default=20, kind=Whole(0, 1000, words="a number of pairs"), flag=Flag("--exchanges", key="exchanges"),
        help="Pairs of a layer's units that are swapped at most.",
        needs=(Needs("amount", None, "without an amount there is no number of units to keep to"),),
    )  # fmt: skip
    seed: int = option(
        default=0, kind=Whole(0), flag="--seed", help="Seed of the positions that are drawn in convolutions."
    )
