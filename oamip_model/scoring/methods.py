"""The methods by their names, and those with programs of all layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias, TypeVar

from oamip_model.checks import Flag, check_needs, option, options
from oamip_model.errors import InputError
from oamip_model.formulation.gates import gate_named
from oamip_model.formulation.settings import Formulation
from oamip_model.kinds import Made, Switch, Whole
from oamip_model.scoring.strategies import AVERAGED, DEFAULT_STRATEGY, PROGRAM_STRATEGY
from oamip_model.solving.options import SEARCH, TreeSearch, as_search
from oamip_model.tightening.methods import BOUND_METHODS, Tightening

if TYPE_CHECKING:
    from torch import nn

    from oamip_model.bounds import Bounds
    from oamip_model.network import Network

    Heads: TypeAlias = Mapping[str, Network | nn.Module]

from oamip_model.scoring.layer_methods import Backward, Decoupled, Elimination, Forward
from oamip_model.scoring.method import Method

T = TypeVar("T")
DEEP = 3
"""Dense layers of ReLUs behind a score from which a sound integer program gets the search auto and the bounds crown."""


def _formulation(given: Any) -> Any:
    if given is None:  # made with each method, so that the command line's help loads no gate
        return Formulation()
    if not isinstance(given, Formulation):
        raise ValueError
    return given


def _bounds(given: Any) -> Any:
    if given in BOUND_METHODS if isinstance(given, str) else isinstance(given, Tightening) or hasattr(given, "cutoff"):
        return given
    raise ValueError


def dense_depth(network: Network) -> int:
    """The number of layers of ReLUs behind a score, 0 where a layer is no dense one.

    Parameters
    ----------
    network : Network
        A network.

    Returns
    -------
    int
        Layers whose ReLUs bounds may leave open.

    Examples
    --------
    >>> import torch, oamip_model as om
    >>> parts = [torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)]
    >>> dense_depth(om.read_network(torch.nn.Sequential(*parts).eval()))
    1
    """
    if any(len(layer.pre_shape) > 1 for layer in network.layers):
        return 0
    behind: set[int] = set()
    depth = 0
    for k, layer in enumerate(network.layers):
        reads = any(term.source in behind for term in layer.terms)
        depth += reads and layer.activation == "relu"
        if reads or layer.group is not None:
            behind.add(k)
    return depth


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
    search: str | TreeSearch | None = option(
        default=None, kind=SEARCH, flag="--search", shown="solver; auto in a deep network",
        help="The solver's own tree, one of this package over the solver's linear programs, or auto: the quicker one "
        "for the loss.",
    )  # fmt: skip
    heuristic: bool | None = option(
        default=None, kind=Switch(undecided=True), flag=Flag("--heuristic", off="--no-heuristic"),
        help="Begin from scores found by gradients through the network.",
        shown="in a sound gate with 30 integer ReLU states or more, 100 with --search tree",
    )  # fmt: skip
    bounds: str | Tightening | Bounds | None = option(
        default=None, flag="--bounds", shown="interval; crown in a deep network",
        kind=Made(f"are {', '.join(BOUND_METHODS)}, a Tightening and Bounds", _bounds),
        help="How pre-activations are bounded, or with --strategy joint a file of `oamip bounds`.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        form = self.formulation
        check_needs(form)
        if self.search == "auto":
            has_tree = form.has_tangents and gate_named(form.gate).sound and form.has_states
            object.__setattr__(self, "search", as_search("auto", has_tree) or "solver")
        if self.tree is not None and not form.has_states:
            raise InputError(
                "search: got 'tree', but a relaxation with continuous scores is a linear program without one"
            )
        if self.search is not None:
            has_hull = "hull" in gate_named(form.gate).relaxations
            settled = form.settled("hull" if self.tree is not None and has_hull else "big-m")
            object.__setattr__(self, "formulation", settled)
        if self.heuristic and not form.has_heuristic:
            kind = "a relaxation" if gate_named(form.gate).sound else f"gate {form.gate}"
            raise InputError(f"heuristic: got True, but {kind} has none: its best scores are not those of the network")
        if not isinstance(self.bounds, str | Tightening | None) and self.called in AVERAGED:
            raise InputError(f"bounds: strategy {self.called} makes bounds of its own, accepted is a method's name")

    def settled(self, network: Network) -> Self:
        """The method with a search, bounds and a relaxation where none were given.

        Parameters
        ----------
        network : Network
            The network, in which they depend on the depth.

        Returns
        -------
        AllLayers
            The same object where it has all of them.
        """
        if self.search is not None and self.bounds is not None:
            return self
        exact = gate_named(self.formulation.gate).sound and not self.formulation.relaxed
        deep = exact and dense_depth(network) >= DEEP
        search = ("auto" if deep else "solver") if self.search is None else self.search
        bounds = ("crown" if deep else "interval") if self.bounds is None else self.bounds
        return replace(self, search=search, bounds=bounds)

    @property
    def tree(self) -> TreeSearch | None:
        """The search tree of ours, None where the solver's own searches."""
        return self.search if isinstance(self.search, TreeSearch) else None


@options
class Joint(AllLayers):
    """One program of all layers for all images, from about ten of them.

    Examples
    --------
    >>> from oamip_model.formulation import Formulation
    >>> Joint(Formulation(gate="published", relaxed=True)).formulation.gate
    'published'
    """

    called: ClassVar[str] = "joint"
    alone: ClassVar[str] = "is one program"


@options
class Batches(AllLayers):
    """One program for each few images in turn, whose scores are averaged.

    Examples
    --------
    >>> Batches(size=5).size
    5
    """

    called: ClassVar[str] = "batches"

    size: int = option(
        default=10, kind=Whole(1, words="a number of images"), flag=Flag("--batch-size", key="batch_size"),
        help="Images of each program of --strategy batches.",
    )  # fmt: skip


@options
class PerClass(AllLayers):
    """One program for each class, of its images, whose scores are averaged.

    Examples
    --------
    >>> PerClass(bounds="crown").called
    'per-class'
    """

    called: ClassVar[str] = "per-class"


METHODS: dict[str, type[Method]] = {
    cls.called: cls for cls in (Elimination, Decoupled, Forward, Backward, Joint, Batches, PerClass)
}
"""The methods by their names as strategies."""


def as_method(given: str | Method) -> Method:
    """The method that was given, a name standing for its defaults."""
    if isinstance(given, Method) and given.called:
        return given
    if isinstance(given, str) and given in METHODS:
        return METHODS[given]()
    raise InputError(f"method: got {given!r}, accepted are {', '.join(METHODS)} and the objects of their options")


def by_default(make: Callable[[str], T], check: Callable[[T], None]) -> T:
    """What is made where no method is named: of the default, or of programs.

    Parameters
    ----------
    make : callable
        Makes it of a strategy's name, and raises InputError where the strategy has no use for an option.
    check : callable
        Raises InputError where the default has no use for what was made with it.

    Returns
    -------
    object
        What ``make`` gave.

    Examples
    --------
    >>> from oamip_model.solving.options import Run, Solver
    >>> by_default(as_method, lambda method: method.check_given(None, Run())).called
    'elimination'
    >>> by_default(as_method, lambda method: method.check_given(Solver("cbc"), Run())).called
    'forward'
    """
    try:
        usual = make(DEFAULT_STRATEGY)
        check(usual)
    except InputError:
        return make(PROGRAM_STRATEGY)
    return usual
