"""The methods of scoring, each an object with the options that it has a use for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from oamip_model.checks import Checked, Needs, check_needs, check_used, option, options
from oamip_model.errors import InputError
from oamip_model.formulation.gates import gate_named
from oamip_model.formulation.losses import LOSSES, loss_named, loss_names
from oamip_model.formulation.relaxations import RELAXATIONS
from oamip_model.formulation.settings import MARGIN, NOT_NEGATIVE, SCORES, WEIGHT, Formulation, margined
from oamip_model.formulation.sparsities import SPARSITIES
from oamip_model.kinds import Choice, Made, Named, Number, Switch, Whole
from oamip_model.scoring.strategies import AVERAGED, HEADS, MIXED_HEADS, MOST_IMAGES, SCOPES
from oamip_model.solving.options import SEARCH, Run, Solver, TreeSearch
from oamip_model.tightening.methods import BOUND_METHODS, Tightening

if TYPE_CHECKING:
    from torch import nn

    from oamip_model.bounds import Bounds
    from oamip_model.network import Network

    Heads: TypeAlias = Mapping[str, Network | nn.Module]

AMOUNT = Number(0, 1, least_open=True, most_open=True, words="a share of the units between 0 and 1")
_FOUND = Needs("amount", (None,), "with an amount the weight is found")
_MIXED = Needs("head", MIXED_HEADS)


class Method(Checked):
    """A way to score units, which says what it uses of a Solver and of a Run.

    called: its name as a strategy.
    """

    solver_fields: ClassVar[tuple[str, ...]] = ("name", "time_limit", "tolerance", "seed")
    run_fields: ClassVar[tuple[str, ...]] = ("progress", "total_time_limit", "store")
    alone: ClassVar[str] = ""
    """Why its programs cannot be solved at once, where they cannot."""

    def check_given(self, solver: Solver, run: Run) -> None:
        """Raise InputError for what this method has no use for of a solver and a run."""
        by = f"strategy {self.called}"
        workers = run.workers
        if workers.several and self.alone:
            given = f"engine: got {run.engine!r}" if run.engine == "dask" else f"jobs: got {run.jobs!r}"
            raise InputError(f"{given}, but {by} {self.alone}")
        check_used(solver, self.solver_fields, by)
        check_used(run, (*self.run_fields, "jobs", "engine", "scheduler"), by)
        if workers.several and solver.threads != 1:
            raise InputError(
                f"threads: got {solver.threads!r}, accepted is 1 where several programs are solved at once"
            )
        if workers.several and solver.log_file is not None:
            raise InputError("log_file: several programs that are solved at once would mix their logs")


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
        default=HEADS[0], kind=Choice(HEADS), flag="--head",
        help="What stands for the layers after the scored one, layer by layer.",
    )  # fmt: skip
    heads: Heads | None = option(
        default=None, kind=Made("are heads by the names of their layers", _heads),
        help="Auxiliary heads that are trained already, as om.train_greedy makes them.",
        needs=(Needs("head", ("auxiliary",)),),
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

    def __post_init__(self) -> None:
        super().__post_init__()
        if not loss_named(self.loss).weighted:
            accepted = [name for name in loss_names() if loss_named(name).weighted]
            raise InputError(f"loss: got {self.loss!r}, but strategy {self.called} takes {' and '.join(accepted)}")


@options
class Decoupled(Layerwise):
    """Each layer on its own, the others whole."""

    called: ClassVar[str] = "decoupled"


@options
class Ordered(Layerwise):
    """What "forward" and "backward" share: one layer is scored after the other."""

    alone: ClassVar[str] = (
        "scores a layer after the one before it is cut; accepted with it are the strategies batches, per-class, "
        "decoupled"
    )

    sweeps: int = option(
        default=1, kind=Whole(0, 100, words="a number"), flag="--sweeps",
        help="Forward and backward: rounds over the layers after the first.",
    )  # fmt: skip
    exchanges: int = option(
        default=50, kind=Whole(0, 1000, words="a number of rounds"), flag="--exchanges",
        help="Rounds in which units that stay are exchanged for units that go where the network cut so does better.",
        needs=(Needs("amount", None, "without an amount there is no number of units to keep to"),),
    )  # fmt: skip


@options
class Forward(Ordered):
    """Layers from the first to the last, those before already cut, with sweeps."""

    called: ClassVar[str] = "forward"


@options
class Backward(Ordered):
    """Layers from the last to the first, those behind already cut, with sweeps."""

    called: ClassVar[str] = "backward"


@options
class Elimination(Method):
    """Units one by one, those first that a least squares refit misses least.

    No program is solved, no labels are used, and nothing is proved.
    """

    called: ClassVar[str] = "elimination"
    solver_fields: ClassVar[tuple[str, ...]] = ()
    run_fields: ClassVar[tuple[str, ...]] = ("progress", "total_time_limit", "device")
    alone: ClassVar[str] = "solves no program"

    amount: float | None = option(
        default=None, kind=AMOUNT, flag="--amount", help="Share of each layer's units that is to go; it is needed."
    )
    swaps: int = option(
        default=20, kind=Whole(0, 1000, words="a number of pairs"), flag="--exchanges", key="exchanges",
        help="Pairs of a layer's units that are swapped at most.",
    )  # fmt: skip
    seed: int = option(default=0, kind=Whole(0), flag="--seed", help="Of the positions that are drawn of convolutions.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.amount is None:
            raise InputError("amount: strategy elimination needs the share of each layer's units that is to go")


def _formulation(given: Any) -> Any:
    if given is None:  # made when a method is, so that the command line's help loads no gate
        return Formulation()
    if not isinstance(given, Formulation):
        raise ValueError
    return given


def _bounds(given: Any) -> Any:
    if given in BOUND_METHODS if isinstance(given, str) else isinstance(given, Tightening) or hasattr(given, "cutoff"):
        return given
    raise ValueError


@options
class AllLayers(Method):
    """Programs of all layers at once: what "joint", "batches" and "per-class" share."""

    solver_fields: ClassVar[tuple[str, ...]] = (*Method.solver_fields, "threads", "log_file")

    formulation: Formulation = option(
        default=None,
        kind=Made("is a Formulation", _formulation),
        help="The program.",
        kw_only=False,
        optional=False,
        shown="Formulation()",
    )
    search: str | TreeSearch = option(
        default="solver", kind=SEARCH, flag="--search",
        help="The solver's own tree, or one of this package over the solver's linear programs.",
    )  # fmt: skip
    heuristic: bool | None = option(
        default=None, kind=Switch(undecided=True), flag="--heuristic", off="--no-heuristic",
        help="Begin from scores found by gradients through the network.",
        shown="in a sound gate with 30 integer ReLU states or more, 100 with --search tree",
    )  # fmt: skip
    bounds: str | Tightening | Bounds = option(
        default="interval", flag="--bounds",
        kind=Made(f"are {', '.join(BOUND_METHODS)}, a Tightening and Bounds", _bounds),
        help="How pre-activations are bounded, or with --strategy joint a file of `oamip bounds`.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        form = self.formulation
        check_needs(form)
        if self.tree is not None and form.relaxed and form.scores == "continuous":
            raise InputError(
                "search: got 'tree', but a relaxation with continuous scores is a linear program without one"
            )
        has_hull = "hull" in gate_named(form.gate).relaxations
        settled = form.settled("hull" if self.tree is not None and has_hull else "big-m")
        object.__setattr__(self, "formulation", settled)
        if self.heuristic and not form.has_heuristic:
            kind = "a relaxation" if gate_named(form.gate).sound else f"gate {form.gate}"
            raise InputError(f"heuristic: got True, but {kind} has none: its best scores are not those of the network")
        if not isinstance(self.bounds, str | Tightening) and self.called in AVERAGED:
            raise InputError(f"bounds: strategy {self.called} makes bounds of its own, accepted is a method's name")

    @property
    def tree(self) -> TreeSearch | None:
        """The search tree of ours, None where the solver's own searches."""
        return self.search if isinstance(self.search, TreeSearch) else None


@options
class Joint(AllLayers):
    """One program of all layers for all images, from about ten of them."""

    called: ClassVar[str] = "joint"
    alone: ClassVar[str] = "is one program"


@options
class Batches(AllLayers):
    """One program for each few images in turn, whose scores are averaged."""

    called: ClassVar[str] = "batches"

    size: int = option(
        default=10, kind=Whole(1, words="a number of images"), flag="--batch-size", key="batch_size",
        help="Images of each program of --strategy batches.",
    )  # fmt: skip


@options
class PerClass(AllLayers):
    """One program for each class, of its images, whose scores are averaged."""

    called: ClassVar[str] = "per-class"


METHODS: dict[str, type[Method]] = {
    cls.called: cls for cls in (Decoupled, Forward, Backward, Elimination, Joint, Batches, PerClass)
}
"""The methods by their names as strategies."""


def as_method(given: str | Method) -> Method:
    """The method that was given, a name standing for its defaults."""
    if isinstance(given, Method) and given.called:
        return given
    if isinstance(given, str) and given in METHODS:
        return METHODS[given]()
    raise InputError(f"method: got {given!r}, accepted are {', '.join(METHODS)} and the objects of their options")
